"""How a worker is asked to leave, and how a server is, and what each kind of worker does then."""

from __future__ import annotations

import json
import os
import signal
import socket
import ssl
from collections.abc import Callable
from typing import Any, Final

import pytest
from raw_http import GET, folder_of, rest_of
from remote_control import CONF, wait_said

from pytest_cluster import Cluster

__all__ = [
    "ANSWER",
    "ENDS",
    "LIMIT",
    "LONG",
    "PARTS",
    "TO_THE_POLICY",
    "WAYS",
    "check_begun_request_is_answered",
    "check_idle_ends_with_keepalive",
    "check_idle_goes_at_once",
    "check_idle_keeps_its_time",
    "check_idle_over_tls",
    "get_kept_alive",
    "get_last_answer",
    "leave",
    "primary",
    "release",
    "to_worker",
]

ANSWER: Final = b"HTTP/1.1 200 OK"
LIMIT: Final = "graceful_timeout = 8\n"
LONG: Final = CONF.replace(LIMIT, "graceful_timeout = 120\nkeepalive = 300\n")  # nothing ends by time
PARTS: Final = [b"GET / HTTP/1.1\r\nHo", b"st: x\r\n\r\n"]
TO_THE_POLICY: Final = [
    pytest.param({}, id="fed"),
    pytest.param({"env": {"NODE_CLUSTER_SCHED_POLICY": "none"}}, id="accepting"),
]


def primary(source: str) -> Callable[[Cluster], object]:
    """Have the primary run ``source``."""
    return lambda cluster: cluster.request("POST", "/primary", body=source.encode())


def leave(**options: Any) -> Callable[[Cluster], object]:
    """Have a worker leave by its own wish."""
    return lambda cluster: cluster.request("POST", "/leave", body=json.dumps(options).encode())


def to_worker(cluster: Cluster) -> None:
    """TERM to a worker, from outside."""
    os.kill(cluster.worker(1).pid, signal.SIGTERM)


WAYS: Final = [
    pytest.param(primary("cluster.workers[1].disconnect()"), id="worker.disconnect"),
    pytest.param(leave(), id="cluster.worker.disconnect"),
    pytest.param(lambda cluster: cluster.primary.signal("SIGHUP"), id="HUP"),
    pytest.param(to_worker, id="TERM to the worker"),
]
ENDS: Final = [
    pytest.param(primary("cluster.disconnect()"), id="cluster.disconnect"),
    pytest.param(lambda cluster: cluster.primary.signal("SIGTERM"), id="TERM"),
]


def release(cluster: Cluster) -> None:
    """Let held requests go on."""
    (folder_of(cluster) / "release").touch()


def get_kept_alive(client: socket.socket, path: bytes = b"/") -> bytes:
    """Send a GET whose answer keeps the connection alive; return the answer, as far as it has arrived."""
    client.sendall(GET % (path, b""))
    answer = client.recv(65536)
    assert answer.startswith(ANSWER)
    assert b"Connection: close" not in answer
    return answer


def get_last_answer(client: socket.socket, path: bytes = b"/") -> None:
    """Send a GET whose answer is the last of its connection."""
    client.sendall(GET % (path, b""))
    answer = rest_of(client)
    assert answer.startswith(ANSWER)
    assert b"Connection: close" in answer


def check_idle_keeps_its_time(cluster: Cluster, way: Callable[[Cluster], object]) -> None:
    """Where the server goes on, each connection has one more answer, and nobody waits for that."""
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as busy:
        get_kept_alive(idle)
        busy.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        way(cluster)
        wait_said(cluster, told="process", seconds=120)
        release(cluster)
        assert b"Connection: close" in rest_of(busy)
        cluster.journal.wait_for("listening", worker=2)
        get_last_answer(idle)
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


def check_idle_goes_at_once(cluster: Cluster, end: Callable[[Cluster], object]) -> None:
    """The server ends: no time-out is near, and a request that began before is the last of its connection."""
    with cluster.connect(timeout=30) as idle, cluster.connect(timeout=30) as busy:
        get_kept_alive(idle)
        busy.sendall(GET % (b"/held", b""))
        wait_said(cluster, told="held")
        end(cluster)
        assert idle.recv(65536) == b""
        wait_said(cluster, told="process", seconds=120)
        release(cluster)
        answer = rest_of(busy)
    assert answer.startswith(ANSWER)
    assert b"Connection: close" in answer
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


def check_begun_request_is_answered(cluster: Cluster, sent: bytes, *, asked: bool = False) -> None:
    """A connection whose request has not come, or not whole, is not idle; it may have *asked* before."""
    with cluster.connect(timeout=30) as client:
        if asked:
            get_kept_alive(client)
        client.sendall(sent)
        assert cluster.get("/").status == 200  # dealt after it, so it has arrived
        cluster.primary.signal("SIGHUP")
        wait_said(cluster, told="process")
        client.sendall(b"".join(PARTS)[len(sent) :])
        answer = rest_of(client)
    assert answer.startswith(ANSWER)
    assert b"Connection: close" in answer


def check_idle_ends_with_keepalive(cluster: Cluster, *, asks: bool) -> None:
    """The drain is over then; a client that has not asked yet has as long, as with gunicorn's own worker."""
    with cluster.connect(timeout=30) as idle:
        if asks:
            get_kept_alive(idle)
        else:
            assert cluster.get("/").status == 200  # dealt after it, so it has arrived
        cluster.primary.signal("SIGHUP")
        assert idle.recv(65536) == b""
    cluster.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in cluster.log


def check_idle_over_tls(cluster: Cluster) -> None:
    """It ends as at its time-out, without an alert, when the server ends; it is answered when only its worker does."""
    with cluster.connect(timeout=30) as client, cluster.connect(timeout=30) as other:
        assert isinstance(client, ssl.SSLSocket)
        for one in (client, other):
            get_kept_alive(one)
        cluster.primary.signal("SIGHUP")
        wait_said(cluster, told="process", seconds=120)
        get_last_answer(other)
        cluster.primary.signal("SIGTERM")
        assert client.recv(65536) == b""
    cluster.journal.wait_for("exit", worker=1)
    assert "Traceback" not in cluster.log
