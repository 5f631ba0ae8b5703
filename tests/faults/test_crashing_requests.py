"""Requests that end their worker: it is replaced at once, so that one input cannot take the service from everybody."""

from __future__ import annotations

from contextlib import suppress
from http.client import HTTPException
from typing import Final

import pytest
from deploy import CONF
from remote_control import said

from pytest_cluster import Cluster, ClusterFactory

KINDS: Final = ["nodecluster_compat.Worker", "nodecluster_compat.ThreadWorker"]
PAUSES: Final = CONF + "cluster.setup_primary(restart_delay=600, restart_max_delay=600)\n"


def crash(cluster: Cluster, path: str) -> None:
    """Have the only worker end over a request."""
    before = cluster.journal.last_seq
    with suppress(OSError, HTTPException):
        cluster.get(path)
    cluster.journal.wait_for("exit", after=before)


@pytest.mark.table(quick=["/segfault-nodecluster_compat.Worker", "/exit-nodecluster_compat.ThreadWorker"])
@pytest.mark.parametrize("worker_class", KINDS)
@pytest.mark.parametrize("path", ["/segfault", "/abort", "/exit"])
def test_worker_that_a_request_ends_is_replaced_at_once(
    cluster_factory: ClusterFactory, worker_class: str, path: str
) -> None:
    """Again and again; a back-off would be ten minutes here."""
    cluster = cluster_factory(app="crashing:app", config=PAUSES, workers=1, worker_class=worker_class)
    for _ in range(4):
        crash(cluster, path)
        assert cluster.get("/").text == "ok"
    assert len(said(cluster, told="degraded")) == 1, "it is told all the same"
