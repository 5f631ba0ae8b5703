"""``request_timeout``: what becomes of a request that takes too long, of its client, and of the log."""

from __future__ import annotations

import socket
from typing import Any, Final

import pytest
from raw_http import GET
from remote_control import said, wait, wait_said

from pytest_cluster import Cluster

CONF: Final = """
from nodecluster_compat import cluster

cluster.setup_primary(request_timeout=0.6, blocked_after=0)
"""
NO_SLOTS: Final = """
def post_worker_init(worker):
    from nodecluster_compat._gunicorn.requests.metering import this_meter

    this_meter()._free.clear()
"""
LATE: Final[dict[str, Any]] = {
    "app": "late_app:app",
    "config": CONF,
    "workers": 1,
    "settings": {"accesslog": "-"},
}


def answer_to(cluster: Cluster, path: bytes, fields: bytes = b"") -> bytes:
    """All that comes until the connection ends."""
    with cluster.connect(timeout=15) as client:
        client.sendall(GET % (path, fields))
        return all_of(client)


def all_of(client: socket.socket) -> bytes:
    received = b""
    while piece := client.recv(65536):
        received += piece
    return received


@pytest.mark.cluster(**LATE)
def test_late_request_is_ended_where_it_waits(cluster: Cluster) -> None:
    """Its client gets 503, its ``finally`` runs, and the log has its line, its stack and its status; others go on."""
    assert answer_to(cluster, b"/hang?secret=1").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    wait_said(cluster, 1, told="finally")
    wait(lambda: "/hang from 127.0.0.1:" in cluster.log, "the line of the request", cluster)
    assert "took longer than 0.6 s (request_timeout) and is ended:" in cluster.log
    assert "in hang" in cluster.log
    assert '"GET /hang?secret=1 HTTP/1.1" 503' in cluster.log
    assert "Traceback" not in cluster.log
    assert cluster.get("/").text == "in time"
    assert [one.state for one in cluster.workers] == ["listening"]


@pytest.mark.cluster(**LATE)
def test_late_stream_is_cut_and_one_of_events_is_not(cluster: Cluster) -> None:
    """A client can tell that the end is missing; a stream of events is meant to last, and so is what asks for more."""
    answer = answer_to(cluster, b"/stream")
    assert answer.endswith(b"first\r\n")  # and not the last chunk, of length 0
    wait_said(cluster, 1, told="stream closed")
    for path, fields in ((b"/events", b""), (b"/stream", b"Connection: upgrade\r\nUpgrade: websocket\r\n")):
        with cluster.connect(timeout=1.5) as client:
            client.sendall(GET % (path, fields))
            while b"first" not in client.recv(65536):
                pass
            with pytest.raises(TimeoutError):
                client.recv(1)


@pytest.mark.cluster(**LATE)
def test_routes_have_limits_of_their_own(cluster: Cluster) -> None:
    """By a decorator, or by ``environ``; and an application may answer by itself."""
    assert answer_to(cluster, b"/quick").startswith(b"HTTP/1.1 503 ")
    assert "took longer than 0.3 s" in cluster.log
    assert cluster.get("/unlimited").text == "at last"
    assert cluster.get("/by-environ").text == "in time"
    assert cluster.get("/caught").text == "caught: GET /caught took longer than 0.6 s"
    assert answer_to(cluster, b"/stubborn").startswith(b"HTTP/1.1 503 ")
    assert [one["kind"] for one in said(cluster, told="first")] == ["TimeLimitExceeded"]
    assert cluster.log.count("/stubborn from") == 2


@pytest.mark.cluster(**LATE)
def test_time_between_requests_is_nobodys(cluster: Cluster) -> None:
    """Neither a connection that is kept, nor a head that comes slowly, is a request; a body that does not come is."""
    with cluster.connect(timeout=15) as client:
        for _ in range(2):
            client.sendall(GET % (b"/", b""))
            assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
            client.settimeout(0.8)
            with pytest.raises(TimeoutError):
                client.recv(1)
            client.settimeout(15)
        client.sendall(b"POST /body HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n")
        assert all_of(client).startswith(b"HTTP/1.1 503 ")


@pytest.mark.cluster(**{**LATE, "config": CONF + NO_SLOTS})
def test_connections_beyond_the_slots_of_the_meter_have_the_limit_too(cluster: Cluster) -> None:
    """There are 1024 for each worker."""
    assert answer_to(cluster, b"/hang").startswith(b"HTTP/1.1 503 ")
    assert cluster.get("/").text == "in time"
