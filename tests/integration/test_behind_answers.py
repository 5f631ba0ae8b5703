"""What an application goes on with behind its answer, when its worker ends."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

import pytest
from drain_ways import to_worker
from remote_control import said, wait_logged

from pytest_cluster import Cluster, ClusterFactory

GEVENT: Final[dict[str, Any]] = {"app": "behind:app"}
ASGI: Final[dict[str, Any]] = {"app": "behind_asgi:app", "worker_class": "nodecluster_compat.ASGIWorker"}
THREADS: Final[dict[str, Any]] = {"app": "behind:app", "worker_class": "nodecluster_compat.ThreadWorker"}
BEGUN: Final = [
    pytest.param(GEVENT, "/greenlet", id="greenlet"),
    pytest.param(GEVENT, "/thread", id="thread"),
    pytest.param(ASGI, "/task", id="task"),
    pytest.param(THREADS, "/thread", id="thread of a thread"),
]
ENDLESS: Final = [pytest.param(GEVENT, id="gevent"), pytest.param(ASGI, id="asgi")]
SOCKETIO: Final[dict[str, Any]] = {**ASGI, "app": "socketio_asgi:app"}
WAYS: Final = [
    pytest.param(to_worker, id="TERM"),
    pytest.param(lambda cluster: cluster.primary.signal("SIGHUP"), id="HUP"),
]


@pytest.mark.table(quick=["HUP-greenlet", "TERM-thread", "TERM-task"])
@pytest.mark.parametrize(("kind", "path"), BEGUN)
@pytest.mark.parametrize("way", WAYS)
def test_it_is_done_when_the_worker_leaves(
    cluster_factory: ClusterFactory, kind: dict[str, Any], path: str, way: Callable[[Cluster], object]
) -> None:
    """As with gunicorn's own workers, which look once a second whether they may end."""
    cluster = cluster_factory(**kind, workers=1)
    assert cluster.get(path).status == 200
    way(cluster)
    cluster.journal.wait_for("exit", worker=1)
    assert said(cluster, told="done")


@pytest.mark.parametrize(("kind", "path"), BEGUN)
def test_it_is_done_behind_the_last_of_max_requests(
    cluster_factory: ClusterFactory, kind: dict[str, Any], path: str
) -> None:
    """The request that ends the worker is the one that has begun it."""
    cluster = cluster_factory(**kind, workers=1, settings={"max_requests": 1})
    assert cluster.get(path).status == 200
    cluster.journal.wait_for("exit", worker=1)
    assert said(cluster, told="done")


@pytest.mark.parametrize("kind", ENDLESS)
def test_nobody_waits_for_what_never_ends(cluster_factory: ClusterFactory, kind: dict[str, Any]) -> None:
    """A moment, and a line in the log; far from ``graceful_timeout``."""
    cluster = cluster_factory(**kind, workers=1, settings={"graceful_timeout": 3600})
    assert cluster.get("/endless").status == 200
    to_worker(cluster)
    cluster.journal.wait_for("exit", worker=1)
    wait_logged(cluster, "the application has not ended 1 of what it runs after its answers")


def test_what_runs_since_the_startup_is_not_waited_for(cluster_factory: ClusterFactory) -> None:
    """It is for the application's shutdown to end, which comes at once."""
    cluster = cluster_factory(**ASGI, workers=1, settings={"asgi_lifespan": "on"})
    assert cluster.get("/").status == 200
    to_worker(cluster)
    cluster.journal.wait_for("exit", worker=1)
    assert said(cluster, told="shutdown")
    assert "after its answers" not in cluster.log


@pytest.mark.parametrize("kind", [*ENDLESS, pytest.param(SOCKETIO, id="socketio")])
def test_who_runs_nothing_is_told_nothing(cluster_factory: ClusterFactory, kind: dict[str, Any]) -> None:
    """The server's own greenlets and tasks are none of the application's."""
    cluster = cluster_factory(**kind, workers=1)
    assert cluster.get("/").status == 200
    to_worker(cluster)
    cluster.journal.wait_for("exit", worker=1)
    assert "after its answers" not in cluster.log
