"""The fixtures on real servers, in the ways that the other tests of the project do not use."""

from __future__ import annotations

import pytest

import pytest_cluster
from pytest_cluster import Cluster, ClusterError, ClusterFactory, StartError


def test_public_names_can_be_imported() -> None:
    for name in pytest_cluster.__all__:
        assert getattr(pytest_cluster, name).__name__ == name
    with pytest.raises(AttributeError, match="has no attribute 'Missing'"):
        _ = pytest_cluster.Missing


@pytest.mark.each_kind
@pytest.mark.cluster(settings={"bind": "unix:app.sock"})
def test_unix_socket(cluster: Cluster) -> None:
    """The server's folder is its working directory, short enough for a socket."""
    assert str(cluster.address).endswith("/app.sock")
    assert cluster.get("/").json()["worker"] in (1, 2)
    with pytest.raises(ClusterError, match="has no URL"):
        _ = cluster.url


@pytest.mark.cluster(workers=1, settings={"bind": ["127.0.0.1:0", "127.0.0.1:0"]})
def test_several_addresses(cluster: Cluster) -> None:
    """Ready means that each worker listens on each socket."""
    assert len({one.port for one in cluster.addresses}) == 2
    assert cluster.port == cluster.addresses[0].port


@pytest.mark.cluster(workers=1, config="def when_ready(server): server.log.info('ready, says %s', __file__)")
def test_config_is_python_source_of_the_conf_file(cluster: Cluster) -> None:
    assert "ready, says" in cluster.log


@pytest.mark.each_kind
@pytest.mark.cluster(app="missing_module:app")
def test_application_that_cannot_be_imported(cluster_factory: ClusterFactory) -> None:
    """gunicorn's exit code and the traceback are in the error."""
    with pytest.raises(StartError, match="the server ended with exit code 3") as caught:
        cluster_factory()

    assert "No module named 'missing_module'" in str(caught.value)


@pytest.mark.cluster(settings={"graceful_timeout": 5})
def test_setting_that_gunicorn_does_not_have(cluster_factory: ClusterFactory) -> None:
    """It would be ignored, and the test pass without it."""
    with pytest.raises(StartError, match=r"at its start .* has no setting 'timout' \(did you mean 'timeout'"):
        cluster_factory(settings={"timout": 5})


@pytest.mark.cluster(worker_class="gevent", workers=1)
def test_stock_worker_class_for_comparison(cluster: Cluster) -> None:
    """It serves; who its workers are is not known."""
    assert cluster.get("/").json()["worker"] is None
    assert cluster.workers == []
    assert cluster.stop() == 0


@pytest.mark.each_kind
@pytest.mark.cluster(app="shop:app", fresh=True)
def test_error_page_of_the_server_says_whose_it_is(cluster: Cluster) -> None:
    """Of an application that has raised, and of a request that it never saw, which is not counted as served."""
    hits = cluster.client.get_many("/raise", 6)
    assert set(hits.by_worker()) == {1, 2}
    assert {hit.status for hit in hits} == {500}

    answer = cluster.get("/", headers={"No Name": "1"})
    assert (answer.status, answer.worker in {1, 2}, answer.is_page_of_server) == (400, True, True)
    assert {worker.id: worker.requests_served for worker in cluster.workers} == hits.by_worker()
