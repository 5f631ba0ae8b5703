"""Websockets in WSGI workers, by whichever package the application has."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import ExitStack, contextmanager, suppress
from typing import Any, Final

import pytest
import simple_websocket
from remote_control import wait
from socketio_clients import callers
from websocket_client import WebSocketClient

from pytest_cluster import Cluster, ClusterFactory

WEBSOCKETS: Final[dict[str, Any]] = {
    "app": "websocket_app:app",
    "worker_class": "nodecluster_compat.WebSocketWorker",
    "workers": 2,
}

KINDS: Final[dict[str, dict[str, Any]]] = {
    "gevent": {**WEBSOCKETS, "worker_class": "nodecluster_compat.Worker"},
    "threads": {**WEBSOCKETS, "worker_class": "nodecluster_compat.ThreadWorker", "settings": {"threads": 8}},
}


@contextmanager
def connected(cluster: Cluster, path: str) -> Iterator[WebSocketClient]:
    websocket = WebSocketClient(cluster.url.replace("http", "ws") + path)
    try:
        yield websocket
    finally:
        with suppress(simple_websocket.ConnectionClosed):
            websocket.close()


@pytest.mark.cluster(**WEBSOCKETS)
def test_websockets_are_dealt_in_turn(cluster: Cluster) -> None:
    """What is no websocket is served as ever."""
    with connected(cluster, "/gevent") as one, connected(cluster, "/gevent") as other:
        one.send("a")
        other.send("b")
        assert {one.receive(5), other.receive(5)} in ({"1 a", "2 b"}, {"2 a", "1 b"})
    assert cluster.get("/gevent").text == "plain"


@pytest.mark.cluster(**WEBSOCKETS)
def test_gevent_websocket_carries_bytes(cluster: Cluster) -> None:
    with connected(cluster, "/gevent") as websocket:
        websocket.send(b"\0\xff" * 50_000)
        assert websocket.receive(5) == b"\0\xff" * 50_000


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize("kind", [pytest.param(name, marks=pytest.mark.cluster(**KINDS[name])) for name in KINDS])
def test_flask_sock_serves_websockets(cluster: Cluster, kind: str) -> None:
    """Each is its worker's for as long as it lasts, and ends in order; what is none is refused by Flask-Sock."""
    with connected(cluster, "/flask-sock") as one, connected(cluster, "/flask-sock") as other:
        one.send("a")
        other.send("b")
        assert {one.receive(5), other.receive(5)} in ({"1 a", "2 b"}, {"2 a", "1 b"})
        one.send(b"\0\xff" * 50_000)
        assert one.receive(5) == b"\0\xff" * 50_000
    assert cluster.get("/flask-sock").status == 400
    assert cluster.get("/").text == "plain"
    assert "Traceback" not in cluster.log


UPGRADE: Final = "GET /gevent HTTP/1.1\r\nHost: test\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n"
KEY: Final = "Sec-WebSocket-Key: dGhlIHNhbXBsZSBub25jZQ==\r\n"


@pytest.mark.cluster(**WEBSOCKETS)
@pytest.mark.parametrize(
    ("head", "status"),
    [
        pytest.param(UPGRADE + KEY, b"426 ", id="no version"),
        pytest.param(UPGRADE + KEY + "Sec-WebSocket-Version: 99\r\n", b"400 ", id="unknown version"),
        pytest.param(UPGRADE + "Sec-WebSocket-Version: 13\r\n", b"400 ", id="no key"),
        pytest.param(UPGRADE + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: eA==\r\n", b"400 ", id="short key"),
        pytest.param(UPGRADE + "Sec-WebSocket-Version: 13\r\nSec-WebSocket-Key: x\r\n", b"400 ", id="no base64"),
        pytest.param(UPGRADE.replace("GET", "POST") + KEY, b"200 ", id="no GET"),
    ],
)
def test_an_upgrade_that_cannot_be_is_answered(cluster: Cluster, head: str, status: bytes) -> None:
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=20) as client:
        client.sendall(f"{head}\r\n".encode())
        assert client.recv(4096).startswith(b"HTTP/1.1 " + status)


@pytest.mark.table(quick=["threads"])
@pytest.mark.parametrize("kind", [pytest.param(name, marks=pytest.mark.cluster(**KINDS[name])) for name in KINDS])
def test_client_that_says_nothing_more_hears_that_its_server_has_ended_it(cluster: Cluster, kind: str) -> None:
    """Although a thread of simple-websocket waits for what it says."""
    head = (UPGRADE + KEY + "Sec-WebSocket-Version: 13\r\n\r\n").replace("/gevent", "/simple").encode()
    with socket.create_connection(("127.0.0.1", cluster.port), timeout=20) as client:
        client.sendall(head)
        assert client.recv(4096).startswith(b"HTTP/1.1 101 ")
        client.sendall(b"\x81\x83\0\0\0\0bye")
        heard = b""
        while data := client.recv(4096):
            heard += data
    assert heard == b"\x88\x02\x03\xe8"


@pytest.mark.slow
def test_at_the_limit_of_a_drain_a_websocket_is_closed_by_a_frame(cluster_factory: ClusterFactory) -> None:
    """It is in flight until then, and the reload waits for it."""
    cluster = cluster_factory(**WEBSOCKETS, settings={"graceful_timeout": 1})
    with connected(cluster, "/gevent") as websocket:
        websocket.send("a")
        assert websocket.receive(5) in ("1 a", "2 a")
        assert cluster.reload().state == "succeeded"
        with pytest.raises(simple_websocket.ConnectionClosed, match="1012"):
            websocket.receive(20)


@pytest.mark.table(quick=["Worker"])
@pytest.mark.parametrize("worker", ["Worker", "WebSocketWorker"])
def test_engineio_takes_gevent_websocket_in_any_class(cluster_factory: ClusterFactory, worker: str) -> None:
    """It does so where it finds it, and nobody has asked it to."""
    cluster = cluster_factory(
        app="socketio_app:app",
        worker_class=f"nodecluster_compat.{worker}",
        workers=2,
        env={"SIO_GEVENT_WEBSOCKET": "1"},
    )
    with callers(cluster, 2) as clients:
        for one in clients:
            one.ask("join", "room")
        clients[0].say("tell", "room", "hello")
        for one in clients:
            one.wait_told("hello")
        assert {one.worker for one in clients} == {1, 2}


def test_the_log_says_once_which_class_is_missing(cluster_factory: ClusterFactory) -> None:
    cluster = cluster_factory(
        **{**WEBSOCKETS, "worker_class": "nodecluster_compat.Worker"}, env={"WITH_GEVENT_WEBSOCKET": "1"}
    )
    with connected(cluster, "/simple") as websocket:
        websocket.send("a")
        assert websocket.receive(5) in ("1 a", "2 a")
    assert cluster.stop() == 0
    assert cluster.log.count("write -k nodecluster_compat.WebSocketWorker") == 1


def open_now(cluster: Cluster) -> dict[int, int]:
    """How many connections each worker has, as the status says."""
    return {worker["id"]: worker["connections"] for worker in cluster.primary.status()["workers"]}


COUNTED: Final = {
    "gevent": (KINDS["gevent"], "/simple"),
    "gevent-websocket": (WEBSOCKETS, "/gevent"),
    "threads": (KINDS["threads"], "/simple"),
    "asgi": ({"app": "asgi_app:app", "worker_class": "nodecluster_compat.ASGIWorker", "workers": 2}, "/socket"),
}


@pytest.mark.table(quick=["asgi"])
@pytest.mark.parametrize(
    "path",
    [
        pytest.param(path, id=name, marks=pytest.mark.cluster(**options, policy="least_connections"))
        for name, (options, path) in COUNTED.items()
    ],
)
def test_a_websocket_is_a_connection_for_policies_and_in_the_status(cluster: Cluster, path: str) -> None:
    """It counts for as long as it lasts, and who has fewer gets the next one."""
    with ExitStack() as stack:
        stack.enter_context(connected(cluster, path))
        wait(lambda: sum(open_now(cluster).values()) == 1, "the first to be counted", cluster)
        (first,) = (worker for worker, count in open_now(cluster).items() if count)
        other = 3 - first
        with connected(cluster, path):
            wait(lambda: open_now(cluster) == {first: 1, other: 1}, "both to be counted", cluster)
        wait(lambda: open_now(cluster) == {first: 1, other: 0}, "the end of a websocket", cluster)
        stack.enter_context(connected(cluster, path))
        stack.enter_context(connected(cluster, path))
        stack.enter_context(connected(cluster, path))
        wait(lambda: open_now(cluster) == {first: 2, other: 2}, "both to be counted", cluster)
        stack.enter_context(connected(cluster, path)).send("still there")
    wait(lambda: set(open_now(cluster).values()) == {0}, "the end of all websockets", cluster)
