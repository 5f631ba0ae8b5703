"""Packets of Engine.IO pass by the queue of an idle websocket, in order; frames are as simple-websocket reads them."""

from __future__ import annotations

import gc
import socket
import sys
import time
import weakref
from collections.abc import Iterator
from typing import Any, Final

import gevent
import pytest
from gevent.queue import Empty, JoinableQueue
from wsproto import ConnectionType
from wsproto.connection import Connection
from wsproto.events import BytesMessage, TextMessage

from nodecluster_compat._gunicorn.requests import engineio_websockets
from nodecluster_compat._gunicorn.requests.engineio_websockets import Outbox, install, websocket_frame
from nodecluster_compat.base.variables import PLAIN_WEBSOCKETS
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.gevent_runtime.turn_writer import TurnWriter

LARGE: Final = "x" * 4_000_000  # more than any kernel takes at once
PATIENCE: Final = 20.0


class Packet:
    """As Engine.IO's."""

    def __init__(self, data: str | bytes) -> None:
        self.data = data
        self.binary = isinstance(data, bytes)
        self.encoded = 0

    def encode(self) -> str | bytes:
        self.encoded += 1
        return self.data


class Socket:
    """As Engine.IO's."""

    upgraded = True


class Client:
    """A client's outbox, and its other side."""

    def __init__(self) -> None:
        ours, self.other = socket.socketpair()
        self.other.setblocking(False)
        self.sock = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
        self.outbox, self.socket = Outbox(), Socket()
        self.outbox.open(TurnWriter(self.sock, self.outbox.wake), self.socket)

    def heard(self) -> list[str | bytes]:
        """What has come, once the turn has ended."""
        gevent.sleep(0)
        try:
            return messages(self.other.recv(1 << 20))
        except BlockingIOError:
            return []

    def waiting(self, timeout: float | None = None) -> gevent.Greenlet:
        """Engine.IO's writer: it waits for a packet."""
        writer = gevent.spawn(self.outbox.get, timeout=timeout)
        gevent.sleep(0)
        return writer


@pytest.fixture
def client() -> Iterator[Client]:
    made = Client()
    yield made
    made.other.close()
    made.sock.close()


def messages(data: bytes) -> list[str | bytes]:
    reader = Connection(ConnectionType.CLIENT)
    reader.receive_data(data)
    events = list(reader.events())
    assert all(isinstance(one, TextMessage | BytesMessage) and one.message_finished for one in events)
    return [bytes(one.data) if isinstance(one, BytesMessage) else str(one.data) for one in events]


@pytest.mark.parametrize("size", [0, 1, 125, 126, 65_535, 65_536])
@pytest.mark.parametrize("unit", ["x", "ä", b"\xff"], ids=["ascii", "text", "bytes"])
def test_a_frame_is_what_a_client_reads(unit: Any, size: int) -> None:
    parts = messages(websocket_frame(unit * size))
    assert (b"" if isinstance(unit, bytes) else "").join(parts) == unit * size  # type: ignore[arg-type]


def test_packets_pass_by_a_writer_that_waits_and_are_framed_once(client: Client) -> None:
    writer, packet = client.waiting(), Packet("4hello")
    for one in (packet, Packet(b"\0\1"), packet):
        client.outbox.put(one)
    assert client.heard() == ["4hello", b"\0\1", "4hello"]
    assert packet.encoded == 1
    assert not writer.ready()
    client.outbox.put(None)
    assert writer.get(timeout=PATIENCE) is None


def test_packets_queue_where_nobody_waits(client: Client) -> None:
    """Who sends packets is busy with one: what comes meanwhile stays behind it."""
    first, second = Packet("41"), Packet("42")
    client.outbox.put(first)
    client.outbox.put(second)
    assert client.heard() == []
    assert [client.outbox.get(), client.outbox.get(block=False)] == [first, second]


def test_packets_queue_behind_one_that_its_greenlet_has_not_taken_yet(client: Client) -> None:
    writer = client.waiting()
    client.outbox.put(None)
    client.outbox.put(Packet("4late"))
    assert client.heard() == []
    assert writer.get(timeout=PATIENCE) is None


def test_nothing_passes_by_a_client_that_still_polls(client: Client) -> None:
    client.socket.upgraded = False
    poll, packet = client.waiting(), Packet("4polled")
    client.outbox.put(packet)
    assert poll.get(timeout=PATIENCE) is packet
    assert client.heard() == []


def test_who_waits_for_packets_is_not_told_that_none_came_while_some_pass_by(client: Client) -> None:
    """Engine.IO would end the connection."""
    began, writer = time.monotonic(), client.waiting(0.05)
    client.outbox.put(Packet("4"))
    writer.join(PATIENCE)
    assert isinstance(writer.exception, Empty)
    assert time.monotonic() - began >= 0.1


def test_the_writer_finishes_what_the_kernel_does_not_take(client: Client) -> None:
    writer = client.waiting()
    client.outbox.put(Packet(LARGE))
    client.outbox.put(Packet("4behind"))
    rest = writer.get(timeout=PATIENCE)
    assert rest.encode() is rest
    assert client.outbox.get(block=False).data == "4behind"


@pytest.fixture
def driver(monkeypatch: pytest.MonkeyPatch) -> Any:
    """Engine.IO's, which is as it was afterwards."""
    driver = pytest.importorskip("engineio.async_drivers.gevent")
    if driver.SimpleWebSocketWSGI is None:  # gevent-websocket was found
        monkeypatch.setitem(sys.modules, "geventwebsocket", None)
        monkeypatch.delitem(sys.modules, driver.__name__)
        driver = __import__(driver.__name__, fromlist=["_async"])
    monkeypatch.setattr(driver, "_async", dict(driver._async))
    monkeypatch.setitem(sys.modules, driver.__name__, driver)
    return driver


def test_engine_io_gets_both_once(driver: Any) -> None:
    assert install()
    assert driver._async["queue"] is Outbox
    assert issubclass(driver._async["websocket"], driver.WebSocketWSGI)
    assert not install()


@pytest.mark.parametrize(
    "change", [{"queue": type("Other", (JoinableQueue,), {})}, {"websocket": None}], ids=["queue", "websocket"]
)
def test_another_engine_io_is_left_alone(driver: Any, change: dict[str, Any]) -> None:
    driver._async.update(change)
    before = dict(driver._async)
    assert not install()
    assert driver._async == before


def test_who_opts_out_has_engine_ios(driver: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv(PLAIN_WEBSOCKETS, "1")
    assert not install()
    assert driver._async["queue"] is JoinableQueue


class Websocket:
    """As Engine.IO's by simple-websocket: it runs what it is given."""

    def __init__(self, handler: Any, server: object) -> None:
        self.app = handler

    def __call__(self, environ: dict[str, Any], _: object) -> Any:
        self.environ = environ
        self.ws = type("Server", (), {"sock": environ["gunicorn.socket"]})()
        return self.app(self)


class Handled(Socket):
    """As Engine.IO's socket: it has a handler for a websocket."""

    def __init__(self) -> None:
        self.queue = Outbox()
        self.websocket: Any = None

    def handle(self, websocket: Any) -> str:
        self.websocket = websocket
        waiting = gevent.spawn(self.queue.get)
        gevent.sleep(0)
        self.queue.put(Packet("4passes"))
        websocket.ws.sock.send(b"\x88\x00")  # simple-websocket says goodbye
        self.queue.put(None)
        waiting.join(PATIENCE)
        return "done"


def test_who_answers_a_client_that_does_not_read_reads_no_more_of_it(client: Client) -> None:
    """Or pings that nobody hears the answers of would fill the memory."""
    writer = TurnWriter(client.sock, lambda: None)
    ordered = engineio_websockets._Ordered(client.sock, writer)
    answered = 0

    def answer() -> None:
        nonlocal answered
        for _ in range(1_000):
            ordered.send(b"x" * 10_000)
            answered += 1

    reader = gevent.spawn(answer)
    gevent.sleep(0)
    assert answered < 1_000
    assert writer._bytes <= 20_000
    left = 10_000_000
    with gevent.Timeout(PATIENCE):
        while left:
            try:
                left -= len(client.other.recv(1 << 20))
            except BlockingIOError:
                gevent.idle()
    reader.join(PATIENCE)
    assert answered == 1_000


@pytest.fixture
def direct(monkeypatch: pytest.MonkeyPatch) -> type[Any]:
    parts = {"queue": JoinableQueue, "websocket": Websocket}
    driver = type(sys)("driver")
    driver.__dict__.update(_async=parts, WebSocketWSGI=Websocket, SimpleWebSocketWSGI=Websocket)
    monkeypatch.setitem(sys.modules, "engineio.async_drivers.gevent", driver)
    assert install()
    return parts["websocket"]


def test_a_goodbye_is_sent_at_once_behind_packets(direct: type[Any], client: Client) -> None:
    """Whoever says it may close the connection before the turn ends."""
    handled = Handled()
    environ = {"gunicorn.socket": client.sock, "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate", "HTTP_HOST": "a"}
    assert direct(handled.handle, None)(environ, None) == "done"
    assert client.other.recv(100) == websocket_frame("4passes") + b"\x88\x00"
    assert handled.websocket.environ == {"gunicorn.socket": client.sock, "HTTP_HOST": "a"}


def test_nothing_refers_to_a_websocket_that_has_ended(direct: type[Any], client: Client) -> None:
    handled = Handled()
    gc.collect()
    gc.disable()
    try:
        direct(handled.handle, None)({"gunicorn.socket": client.sock}, None)
        watched = [weakref.ref(handled.websocket), weakref.ref(handled), weakref.ref(handled.queue)]
        handled.websocket = None  # which Engine.IO's does not know
        del handled
        assert [one() for one in watched] == [None, None, None]
    finally:
        gc.enable()


def test_a_connection_through_tls_is_left_to_engine_io(direct: type[Any]) -> None:
    handled = Handled()
    handled.handle = lambda websocket: websocket.ws.sock  # type: ignore[method-assign, assignment, return-value]
    environ = {"gunicorn.socket": "TLS", "HTTP_SEC_WEBSOCKET_EXTENSIONS": "permessage-deflate"}
    assert direct(handled.handle, None)(environ, None) == "TLS"
