"""The control socket: every command of ``gunicornc`` that touches the arbiter or its workers."""

from __future__ import annotations

import json
import socket
import struct
from collections.abc import Callable
from functools import partial
from typing import Any

import pytest
from raw_http import folder_of
from remote_control import wait
from stock_client import HAS_STOCK_CLIENT, ask_as_stock

from pytest_cluster import Cluster, ClusterFactory

pytestmark = pytest.mark.skipif(not HAS_STOCK_CLIENT, reason="gunicorn has gunicornc from 25.1 on")


@pytest.fixture
def server(cluster_factory: ClusterFactory) -> Cluster:
    """Two workers and a control socket."""
    settings = {"control_socket_disable": False, "control_socket": "ctl", "control_socket_mode": 0o660}
    return cluster_factory(workers=2, settings=settings)


@pytest.fixture
def control(server: Cluster) -> Callable[[str], dict[str, Any]]:
    """Send one command."""
    path = folder_of(server) / "ctl"
    wait(path.exists, "the control socket", server)

    return partial(ask_as_stock, path)


def test_what_is_shown(server: Cluster, control: Callable[[str], dict[str, Any]]) -> None:
    """Workers, numbers and listeners are those that the primary has."""
    assert (folder_of(server) / "ctl").stat().st_mode & 0o777 == 0o660
    shown = control("show workers")["workers"]
    assert [one["pid"] for one in shown] == [one.pid for one in server.workers]
    assert [one["aborted"] for one in shown] == [False, False]
    assert [one["booted"] for one in shown] == [True, True]
    assert all(one["last_heartbeat"] is not None for one in shown)
    stats = control("show stats")
    assert (stats["pid"], stats["workers_current"], stats["workers_target"]) == (server.primary.pid, 2, 2)
    assert (stats["workers_spawned"], stats["reloads"]) == (2, 0)
    (listener,) = control("show listeners")["listeners"]
    assert (listener["type"], listener["address"]) == ("tcp", f"http://127.0.0.1:{server.port}")


def test_workers_are_added_removed_and_killed(server: Cluster, control: Callable[[str], dict[str, Any]]) -> None:
    """As TTIN, TTOU and a TERM to the worker: it leaves in order, and is replaced."""
    assert control("worker add 2")["total"] == 4
    assert len(server.wait_listening(4)) == 4
    assert control("worker remove 2")["total"] == 2
    assert len(server.wait_listening(2)) == 2
    victim = server.workers[0]
    assert control(f"worker kill {victim.pid}")["success"] is True
    assert server.journal.wait_for("exit", worker=victim.id).code == 0
    assert len(server.wait_listening(2)) == 2
    assert {server.get("/").json()["worker"] for _ in range(2)} == {one.id for one in server.workers}


def test_reload_reopen_and_shutdown(server: Cluster, control: Callable[[str], dict[str, Any]]) -> None:
    """As HUP, USR1 and TERM; the control server lives through the reload's forks."""
    control("reload")
    for worker in (1, 2):
        server.journal.wait_for("exit", worker=worker)
    server.wait_listening(2)
    assert control("show stats")["reloads"] == 1
    control("reopen")
    wait(lambda: "Handling signal: usr1" in server.log, "USR1", server)
    control("shutdown")
    wait(lambda: server.returncode is not None, "the end", server)
    assert server.returncode == 0


def test_client_that_says_nothing_costs_no_fork_anything_and_stays(
    server: Cluster, control: Callable[[str], dict[str, Any]]
) -> None:
    """gunicorn's own server cuts it off at each fork, and waits two seconds for it from Python 3.12 on."""
    control("help")
    with socket.socket(socket.AF_UNIX) as idle:
        idle.connect(str(folder_of(server) / "ctl"))
        for number in (3, 4):
            server.primary.signal("TTIN")
            server.wait_listening(number)
        payload = json.dumps({"id": 5, "command": "show stats"}).encode()
        idle.sendall(struct.pack(">I", len(payload)) + payload)
        idle.settimeout(30)
        answer = idle.recv(65536)
    assert json.loads(answer[4:])["data"]["workers_spawned"] == 4
    assert "did not stop before fork" not in server.log
    assert server.log.count("Control socket listening") == 1


def test_answer_to_shutdown_arrives(server: Cluster, control: Callable[[str], dict[str, Any]]) -> None:
    """It is written before the server ends."""
    assert control("shutdown") == {"status": "shutting_down", "mode": "graceful"}
    wait(lambda: server.returncode == 0, "the end of the server", server)
    assert not (folder_of(server) / "ctl").exists()
