import pytest


# Its application has a name, so all tests share one cluster.
@pytest.fixture(scope="session")
def cluster_app():
    return "httpbin:app"


@pytest.fixture(autouse=True)
def on_a_cluster(cluster, monkeypatch):
    from httpbin import app

    monkeypatch.setattr(app, "test_client", lambda **more: cluster.flask_client(app, **more))
