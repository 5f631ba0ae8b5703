import pytest


# "prepare_url" is the suite's own; its HTTPS server stays that of pytest-httpbin.
@pytest.fixture(scope="session")
def cluster_app():
    return "httpbin:app"


@pytest.fixture
def httpbin(cluster):
    return prepare_url(cluster)
