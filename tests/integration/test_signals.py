"""Signals to the master mean what gunicorn documents."""

from __future__ import annotations

import os
import signal
import socket
from collections import Counter
from pathlib import Path

import pytest
from late_client import KEPT_OUT, come_late
from raw_http import rest_of
from remote_control import wait
from second_master import wait_later

from pytest_cluster import Cluster, ClusterFactory


def pids(cluster: Cluster, requests: int = 6) -> Counter[int]:
    """Who answers, and how often."""
    return Counter(cluster.get("/").json()["pid"] for _ in range(requests))


def test_ttin_and_ttou_change_the_number(cluster: Cluster) -> None:
    """One more, one less; the one that leaves was asked to."""
    cluster.primary.signal("SIGTTIN")
    assert len(cluster.wait_listening(3)) == 3
    before = cluster.journal.last_seq
    cluster.primary.signal("SIGTTOU")
    gone = cluster.journal.wait_for("exit", after=before)
    assert (gone.code, gone.exited_after_disconnect) == (0, True)
    assert len(pids(cluster)) == 2


@pytest.mark.cluster(workers=1)
def test_ttou_never_goes_below_one(cluster: Cluster) -> None:
    """The last worker stays."""
    cluster.primary.signal("SIGTTOU")
    wait(lambda: "Handling signal: ttou" in cluster.log, "TTOU to be handled", cluster)
    cluster.primary.signal("SIGTTIN")
    cluster.wait_listening(2)
    assert len(pids(cluster)) == 2


@pytest.mark.table(quick=["SIGQUIT"])
@pytest.mark.parametrize("which", ["SIGINT", "SIGQUIT"])
def test_quick_shutdown_leaves_nothing(cluster: Cluster, which: str) -> None:
    """INT and QUIT end the server at once, with code 0."""
    assert cluster.stop(which) == 0
    assert cluster.workers == []


@pytest.mark.parametrize("bind", ["127.0.0.1:0", "[::1]:0", "unix:last.sock"])
def test_nobody_connects_to_a_socket_that_is_about_to_close(
    cluster_factory: ClusterFactory, tmp_path: Path, bind: str
) -> None:
    """Whoever comes after the last ``accept`` of a stop would send a request and be reset."""
    cluster = cluster_factory(workers=1, settings={"bind": bind})
    family = socket.AF_UNIX if bind.startswith("unix") else socket.AF_INET6 if "[" in bind else socket.AF_INET
    address = (cluster.host, cluster.port) if family != socket.AF_UNIX else str(cluster.address)
    cluster.primary.run(come_late, family, address, str(tmp_path / "what"))
    assert cluster.stop() == 0
    assert (tmp_path / "what").read_text() == KEPT_OUT


@pytest.mark.cluster(settings={"errorlog": "error.log", "capture_output": False})
def test_usr1_reopens_the_logs(cluster: Cluster) -> None:
    """A rotated log is written anew, by the master and by its workers."""
    log = Path(f"/proc/{cluster.primary.pid}/cwd").resolve() / "error.log"
    log.rename(log.with_suffix(".1"))
    cluster.primary.signal("SIGUSR1")
    wait(log.exists, "the new log: no disk holds up the primary, so it does not wait for that", cluster)
    cluster.primary.signal("SIGTTIN")
    cluster.wait_listening(3)
    assert "Booting worker" in log.read_text()


@pytest.mark.cluster(workers=2, settings={"pidfile": "server.pid"})
def test_usr2_starts_a_second_master_and_the_first_can_go(cluster: Cluster) -> None:
    """Both serve; then the old one ends, the new one is promoted, and its pid file renamed."""
    folder = Path(f"/proc/{cluster.primary.pid}/cwd").resolve()
    old = {worker.pid for worker in cluster.workers}
    cluster.primary.signal("SIGUSR2")
    new = {entry.pid for entry in wait_later(cluster, "listening", 2)}
    new_master = int((folder / "server.pid.2").read_text())
    served: set[int] = set()

    def both() -> bool:
        served.update(pids(cluster, 12))
        return bool(served & new and served & old)

    wait(both, "answers of both masters' workers", cluster)
    assert served <= new | old
    os.kill(cluster.primary.pid, signal.SIGTERM)
    for pid in old:
        cluster.journal.wait_for("exit", predicate=lambda entry, pid=pid: entry.pid == pid)
    assert set(pids(cluster)) <= new
    os.kill(new_master, signal.SIGTERM)
    assert {entry.pid for entry in wait_later(cluster, "exit", 2)} == new


@pytest.mark.slow
@pytest.mark.cluster(workers=2)
def test_usr2_can_be_rolled_back(cluster: Cluster) -> None:
    """TERM to the new master leaves the old one as it was."""
    old = {worker.pid for worker in cluster.workers}
    cluster.primary.signal("SIGUSR2")
    first, _ = wait_later(cluster, "listening", 2)
    new_master = int(Path(f"/proc/{first.pid}/stat").read_text().rsplit(")")[1].split()[1])
    os.kill(new_master, signal.SIGTERM)
    wait_later(cluster, "exit", 2)
    assert set(pids(cluster)) == old


@pytest.mark.cluster(workers=2, app="sleepy:app")
def test_term_during_a_request_lets_it_finish(cluster: Cluster) -> None:
    """A graceful end answers what is in flight, and takes nothing new."""
    with cluster.connect(timeout=30) as client:
        client.sendall(b"GET /sleep/0.5 HTTP/1.1\r\nHost: x\r\n\r\n")
        cluster.primary.signal("SIGTERM")
        answer = rest_of(client)
    assert answer.startswith(b"HTTP/1.1 200 OK")
