"""SIGKILL of the primary while its workers do something that lasts: nobody survives it, and the address is free."""

from __future__ import annotations

import os
import socket
from typing import Final

import pytest
from deploy import DEPLOYED, write
from remote_control import REMOTE, tell, wait

from pytest_cluster import Cluster
from pytest_cluster.server.leaks import cluster_members

COMPUTES: Final = "import os; os.write(1, b'busy\\n')\nwhile True: pass\n"
SLEEPS: Final = (
    "import os; os.write(1, b'busy\\n')\nfrom gevent.monkey import get_original\nget_original('time', 'sleep')(1e6)\n"
)


def check_nothing_left(cluster: Cluster) -> None:
    """No process, and the address can be bound again."""
    wait(lambda: not cluster_members(cluster.primary.pid, cluster.server.tag), "the end of every process", cluster)
    with socket.socket() as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
        sock.bind((cluster.host, cluster.port))
        sock.listen()


@pytest.mark.cluster(**DEPLOYED, workers=2)
@pytest.mark.parametrize("source", [COMPUTES, SLEEPS], ids=["computes", "sleeps"])
def test_while_a_worker_is_busy_with_an_import(cluster: Cluster, source: str) -> None:
    write(cluster, at_import=source)
    cluster.workers[0].kill()
    wait(lambda: "busy" in cluster.log, "the import", cluster)
    cluster.primary.kill()
    check_nothing_left(cluster)


@pytest.mark.cluster(**REMOTE)
@pytest.mark.parametrize("source", [COMPUTES, SLEEPS], ids=["computes", "sleeps"])
def test_while_a_worker_is_busy_with_a_request(cluster: Cluster, source: str) -> None:
    tell(cluster, "worker/1", source)
    wait(lambda: "busy\n" in cluster.log, "the request", cluster)
    cluster.primary.kill()
    check_nothing_left(cluster)


@pytest.mark.cluster(workers=2)
def test_while_a_worker_drains(cluster: Cluster) -> None:
    with cluster.faults.hold("request", worker=cluster.workers[0]) as gate:
        for _ in cluster.workers:
            cluster.client.submit("/")
        gate.wait_reached()
        cluster.workers[0].disconnect()
        cluster.wait_for(lambda _: len(cluster.every_worker) == 3, reason="the successor")
        cluster.primary.kill()
        check_nothing_left(cluster)


@pytest.mark.cluster(workers=2)
def test_worker_that_cannot_leave_its_primary_ends(cluster: Cluster) -> None:
    """What fails right after the fork would otherwise go on as a process with everything that is the primary's."""
    cluster.faults.at("fork", "builtins:int", "on purpose", worker=3)
    cluster.workers[0].kill()
    assert cluster.journal.wait_for("exit", worker=3).code == 3
    assert "'on purpose'" in cluster.worker(3).logs.text
    assert {worker.id for worker in cluster.wait_listening()} == {2, 4}
    assert os.path.exists(f"/proc/{cluster.primary.pid}")
