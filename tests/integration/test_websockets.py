"""Websockets in gevent workers, by whichever package the application has."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import pytest
import simple_websocket
from socketio_clients import callers
from websocket_client import WebSocketClient

from pytest_cluster import Cluster, ClusterFactory

WEBSOCKETS: Final[dict[str, Any]] = {
    "app": "websocket_app:app",
    "worker_class": "nodecluster_compat.WebSocketWorker",
    "workers": 2,
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
