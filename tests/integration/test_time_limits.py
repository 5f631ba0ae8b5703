"""``request_timeout``: what becomes of a request that takes too long, of its client, and of the log."""

from __future__ import annotations

import re
import socket
import time
from typing import Any, Final

import gunicorn
import pytest
from h2_client import fetch
from operator_desk import DOOR, Operator
from raw_http import CLOSE, GET, rest_of
from remote_control import said, wait, wait_logged, wait_said

from pytest_cluster import Cluster, ClusterFactory

CONF: Final = (
    """
from nodecluster_compat import cluster

cluster.setup_primary(request_timeout=0.6, blocked_after=0)
"""
    + DOOR
)
NO_SLOTS: Final = """
def post_worker_init(worker):
    from nodecluster_compat.operations.metrics.this_meter import this_meter

    this_meter()._free.clear()
"""
needs_cleartext = pytest.mark.skipif(gunicorn.version_info < (27,), reason="it speaks HTTP/2 without TLS from 27 on")
LATE: Final[dict[str, Any]] = {
    "app": "late_app:app",
    "config": CONF,
    "workers": 1,
    "settings": {"accesslog": "-", "graceful_timeout": 1},
}


def answer_to(cluster: Cluster, path: bytes, fields: bytes = b"") -> bytes:
    """All that comes until the connection ends."""
    with cluster.connect(timeout=15) as client:
        client.sendall(GET % (path, fields))
        return rest_of(client)


def late_requests(cluster: Cluster) -> int:
    """How many the server has counted."""
    with socket.socket(socket.AF_UNIX) as client:
        client.settimeout(15)
        client.connect(Operator(cluster).path)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: x\r\n\r\n")
        (found,) = re.findall(rb"(?m)^nodecluster_requests_timed_out_total (\d+)", rest_of(client))
        return int(found)


@pytest.mark.cluster(**LATE)
def test_late_request_is_ended_where_it_waits(cluster: Cluster) -> None:
    """Its client gets 503, its ``finally`` runs, and the log has its line, its stack and its status; others go on."""
    before = late_requests(cluster)
    assert answer_to(cluster, b"/hang?secret=1").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    wait_said(cluster, 1, told="finally")
    wait(lambda: "/hang from 127.0.0.1:" in cluster.log, "the line of the request", cluster)
    wait_logged(cluster, "took longer than 0.6 s (request_timeout) and is ended:")
    wait_logged(cluster, "in hang")
    wait(lambda: '"GET /hang?secret=1 HTTP/1.1" 503' in cluster.log, "the line of its answer", cluster)
    assert "Traceback" not in cluster.log
    assert cluster.get("/").text == "in time"
    assert [one.state for one in cluster.workers] == ["listening"]
    assert late_requests(cluster) == before + 1


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
    wait(lambda: "took longer than 0.3 s" in cluster.log, "the line of the request", cluster)
    assert cluster.get("/unlimited").text == "at last"
    assert cluster.get("/by-environ").text == "in time"
    assert cluster.get("/caught").text == "caught: GET /caught took longer than 0.6 s"
    assert answer_to(cluster, b"/stubborn").startswith(b"HTTP/1.1 503 ")
    assert [one["kind"] for one in said(cluster, told="first")] == ["TimeLimitExceeded"]
    wait(lambda: cluster.log.count("/stubborn from") == 2, "two lines", cluster)


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
        assert rest_of(client).startswith(b"HTTP/1.1 503 ")


@pytest.mark.cluster(**{**LATE, "config": CONF + NO_SLOTS})
def test_connections_beyond_the_slots_of_the_meter_have_the_limit_too(cluster: Cluster) -> None:
    """There are 1024 for each worker."""
    assert answer_to(cluster, b"/hang").startswith(b"HTTP/1.1 503 ")
    assert cluster.get("/").text == "in time"


THREADS: Final[dict[str, Any]] = {
    **LATE,
    "worker_class": "nodecluster_compat.ThreadWorker",
    "settings": {"accesslog": "-", "graceful_timeout": 1, "threads": 2},
}


@pytest.mark.cluster(**THREADS)
def test_client_of_a_late_thread_is_answered_while_the_thread_goes_on(cluster: Cluster) -> None:
    """503 and the end, at the limit; the thread is told where it begins its answer, long after that."""
    begun, before = time.monotonic(), late_requests(cluster)
    assert answer_to(cluster, b"/slow").startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert not said(cluster, told="slow ended")
    wait(lambda: late_requests(cluster) == before + 1, "its count", cluster)
    wait(lambda: "is answered 503; its thread goes on:" in cluster.log, "the line of the request", cluster)
    wait_logged(cluster, "/slow from 127.0.0.1:")
    wait_said(cluster, 1, told="slow ended")
    assert time.monotonic() - begun > 1.5
    wait(lambda: '"GET /slow HTTP/1.1" 503' in cluster.log, "the line of the thread", cluster)
    assert cluster.get("/").text == "in time"
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**THREADS)
def test_threads_have_streams_events_and_limits_of_their_own(cluster: Cluster) -> None:
    assert answer_to(cluster, b"/ticks").endswith(b"tick\r\n")  # and not the last chunk, of length 0
    wait(lambda: "is cut; its thread goes on:" in cluster.log, "the line of the request", cluster)
    wait_said(cluster, 1, told="ticks closed")
    assert cluster.get("/unlimited").text == "at last"
    assert answer_to(cluster, b"/quick").startswith(b"HTTP/1.1 503 ")
    with cluster.connect(timeout=1.5) as client:
        client.sendall(GET % (b"/ticks-of-events", b""))
        while b"last" not in client.recv(65536):  # 1.4 s later
            pass


ASGI: Final[dict[str, Any]] = {**LATE, "app": "late_asgi:app", "worker_class": "nodecluster_compat.ASGIWorker"}


@pytest.mark.cluster(**ASGI)
def test_late_task_is_cancelled(cluster: Cluster) -> None:
    """Its client gets 503, and its connection goes on; what swallows the first cancellation gets another."""
    before, cancelled = late_requests(cluster), len(said(cluster, told="cancelled"))
    with cluster.connect(timeout=15) as client:
        client.sendall(GET % (b"/hang?secret=1", b""))
        assert client.recv(65536).startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
        wait_said(cluster, cancelled + 1, told="cancelled")
        wait(lambda: "GET /hang from 127.0.0.1:" in cluster.log, "the line of the request", cluster)
        wait_logged(cluster, "in hang")
        client.sendall(GET % (b"/", b""))
        assert client.recv(65536).startswith(b"HTTP/1.1 200 ")
    assert answer_to(cluster, b"/stubborn", CLOSE).startswith(b"HTTP/1.1 503 ")
    assert len(said(cluster, told="cancelled")) == cancelled + 3
    assert late_requests(cluster) == before + 3
    assert "Traceback" not in cluster.log


@pytest.mark.cluster(**ASGI)
def test_asgi_has_streams_events_websockets_and_limits_of_their_own(cluster: Cluster) -> None:
    assert answer_to(cluster, b"/stream").endswith(b"first\r\n")
    for path in (b"/quick", b"/thread"):
        assert answer_to(cluster, path, CLOSE).startswith(b"HTTP/1.1 503 ")
    assert cluster.get("/unlimited").text == "in time"
    assert cluster.get("/background").text == "in time"
    wait_said(cluster, 1, told="background")
    with cluster.connect(timeout=1.5) as client:
        client.sendall(GET % (b"/events", b""))
        while b"first" not in client.recv(65536):
            pass
        with pytest.raises(TimeoutError):
            client.recv(1)
    connect = pytest.importorskip("websockets.sync.client").connect
    with connect(f"ws://127.0.0.1:{cluster.port}/limited", open_timeout=15) as websocket:
        websocket.ping()
        wait(lambda: websocket.close_code == 1013, "the close frame", cluster)
    # This application never hears that its client leaves.
    with connect(f"ws://127.0.0.1:{cluster.port}/", open_timeout=15, close_timeout=0.1) as websocket:
        with pytest.raises(TimeoutError):
            websocket.recv(timeout=1.2)
        assert websocket.close_code is None


HTTP2: Final[dict[str, Any]] = {"accesslog": "-", "http_protocols": "h2,h1", "http2_cleartext": "both"}


@needs_cleartext
@pytest.mark.parametrize("kind", [pytest.param(LATE, id="gevent"), pytest.param(ASGI, id="asgi")])
def test_late_stream_of_http2_ends_alone(cluster_factory: ClusterFactory, kind: dict[str, Any]) -> None:
    """With 503 if nothing was sent, else by a reset; the others and the connection go on."""
    config = CONF.replace("request_timeout=0.6", "request_timeout=2")  # for what is in time as well
    cluster = cluster_factory(**{**kind, "config": config, "settings": HTTP2})
    with cluster.connect(timeout=20) as client:
        hangs, stream, quick, good = fetch(client, "/hang?secret=1", "/stream", "/quick", "/")
    assert [one.status for one in (hangs, quick)] == [503, 503]
    assert b"took too long" in hangs.body
    assert (stream.status, stream.body, stream.reset) == (200, b"first", True)
    assert (good.status, good.body) == (200, b"in time")
    assert late_requests(cluster) == 3
    wait(lambda: "GET /hang from 127.0.0.1:" in cluster.log, "the line of the request", cluster)
    wait_logged(cluster, "in hang")
    assert "Traceback" not in cluster.log
