"""The surface: what there is, what it costs to import, and what it says outside a cluster."""

from __future__ import annotations

import pytest

import nodecluster_compat
from nodecluster_compat import cluster, process
from nodecluster_compat.errors import NotInCluster


def test_names_are_those_that_are_promised() -> None:
    """Every public name loads, and no other."""
    names = "ASGIWorker Address ThreadWorker WebSocketWorker Worker __version__ cluster dgram errors http net process"
    assert dir(nodecluster_compat) == names.split()
    for name in dir(nodecluster_compat):
        assert getattr(nodecluster_compat, name) is not None
    with pytest.raises(AttributeError, match="no attribute 'nonsense'"):
        _ = nodecluster_compat.nonsense
    with pytest.raises(ImportError, match="no worker class 'AsgiWorker'; it has ASGIWorker, ThreadWorker"):
        _ = nodecluster_compat.AsgiWorker


def test_plain_program_is_a_primary_without_workers() -> None:
    """A unit test, ``flask run``: roles are clear, registering is safe."""
    assert (cluster.is_primary, cluster.is_master, cluster.is_worker) == (True, True, False)
    assert cluster.worker is None
    assert dict(cluster.workers) == {}
    assert process.connected is False

    @process.on("message")
    def handler(message: object, handle: object) -> None:
        """A handler."""

    process.off("message", handler)
    assert not process.listener_count("message")


def test_plain_program_cannot_do_what_needs_a_cluster() -> None:
    """Each call says what it needs and how to get it."""
    with pytest.raises(NotInCluster, match="needs a primary to talk to"):
        process.send("x")
    with pytest.raises(NotInCluster, match=r"gunicorn -k nodecluster_compat\.Worker"):
        cluster.fork()
    with pytest.raises(NotInCluster, match="needs a running cluster"):
        cluster.disconnect()
