"""Envelopes between hosts, what waits for a server that is away."""

from __future__ import annotations

import logging
import socket
import threading
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.sharing.bridge import MOST_KEPT, Bridge, Envelopes

LOG = logging.getLogger("test")


def test_envelopes() -> None:
    """Another host's is opened, our own is not; of another version, or broken, is counted."""
    ours, theirs = Envelopes(), Envelopes()
    assert theirs.open(ours.seal(b"payload")) == b"payload"
    assert ours.open(ours.seal(b"payload")) is None
    for broken in (b"", b"\x01short", b"\x02" + ours.seal(b"payload")[1:], "text", None):
        assert theirs.open(broken) is None
    assert (ours.foreign, theirs.foreign) == (0, 5)


def test_what_waits_is_bounded(caplog: pytest.LogCaptureFixture) -> None:
    """A server that is not there costs so much memory; the oldest messages are lost, and counted; it ends at once."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        url = f"redis://127.0.0.1:{probe.getsockname()[1]}"
    bridge = Bridge(url, "test", lambda _: None, LOG)
    for number in range(MOST_KEPT + 100):
        bridge.publish(b"%d" % number)
    assert bridge.lost == 100
    for _ in range(50):
        bridge.publish(b"x" * 1024 * 1024)
    assert len(bridge._kept._items) <= 16
    bridge.end()


class Server:
    """Takes what is published, or holds it up."""

    def __init__(self) -> None:
        self.taken: list[bytes] = []
        self.goes_on = threading.Event()
        self.is_asked = threading.Event()

    def ping(self) -> None:
        """It is connected."""

    def eval(self, _: str, keys: int, *parts: object) -> None:
        """Publish several."""
        assert keys == 0
        for channel, item in zip(parts[::2], parts[1::2], strict=True):
            assert isinstance(channel, str)
            assert isinstance(item, bytes)
            self.publish(channel, item)

    def publish(self, _: str, item: bytes) -> None:
        self.is_asked.set()
        self.goes_on.wait(30)
        self.taken.append(item)

    def close(self) -> None:
        """Nothing is held."""


@pytest.fixture
def server(monkeypatch: pytest.MonkeyPatch) -> Iterator[Server]:
    made = Server()
    monkeypatch.setattr(Bridge, "_client", lambda _: made)
    monkeypatch.setattr(Bridge, "_listen_all", lambda _: None)
    yield made
    made.goes_on.set()


def test_what_waits_at_the_end_is_published_first(server: Server) -> None:
    lost: list[str] = []
    bridge = Bridge("redis://127.0.0.1:1", "test", lambda _: None, LOG, lost.append)
    for _ in range(500):
        bridge.publish(b"x")
    bridge.begin()
    server.goes_on.set()
    bridge.end(60)
    assert (len(server.taken), lost) == (500, [])


def test_what_waits_is_published_where_the_end_comes_in_a_pause(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The server was away, and is back by then."""
    monkeypatch.setattr("nodecluster_compat.sharing.bridge._LEAST_PAUSE", 30.0)
    has_failed = threading.Event()

    def fail() -> None:
        del server.ping  # type: ignore[method-assign]
        has_failed.set()
        raise ConnectionError("refused")

    server.ping = fail  # type: ignore[method-assign]
    server.goes_on.set()
    bridge = Bridge("redis://127.0.0.1", "test", lambda _: None, LOG)
    for number in range(3):
        bridge.publish_on(b"%d" % number, "topics")
    bridge.begin()
    assert has_failed.wait(30)
    bridge.end(60)
    assert (server.taken, bridge.lost) == ([b"0", b"1", b"2"], 0)  # none by the connection that could not be made


def test_what_is_lost_with_a_server_is_counted(server: Server, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was published together may have arrived or not; what waits behind it is published later, in order."""
    has_failed = threading.Event()

    def fail(*_: object) -> None:
        del server.eval  # type: ignore[method-assign]
        has_failed.set()
        raise ConnectionError("lost")

    server.eval = fail  # type: ignore[method-assign]
    server.goes_on.set()
    bridge = Bridge("redis://127.0.0.1", "test", lambda _: None, LOG)
    for number in range(100):
        bridge.publish_on(b"%d" % number, "topics")
    bridge.begin()
    assert has_failed.wait(30)
    bridge.end(60)
    assert bridge.lost == 64
    assert server.taken == [b"%d" % number for number in range(64, 100)]
    assert bridge.sent == 36


def test_what_is_large_is_published_alone(server: Server) -> None:
    server.goes_on.set()
    sizes: list[int] = []
    server.eval = lambda _, __, *parts: sizes.append(len(parts) // 2)  # type: ignore[method-assign]
    bridge = Bridge("redis://127.0.0.1", "test", lambda _: None, LOG)
    for size in (1, 1, 300_000, 1, 1):
        bridge.publish_on(b"x" * size, "topics")
    bridge.begin()
    bridge.end(60)
    assert sizes == [3, 2]


def test_what_cannot_be_published_by_the_end_is_counted(server: Server) -> None:
    """A leader that leaves while the server is away has lost what it kept."""
    lost: list[str] = []
    bridge = Bridge("redis://127.0.0.1:1", "test", lambda _: None, LOG, lost.append)
    for _ in range(500):
        bridge.publish(b"x")
    bridge.begin()
    assert server.is_asked.wait(30)
    bridge.end(0)
    assert (bridge.lost, lost) == (436, ["server_away"] * 436)  # those that are on their way may arrive


class PubSub:
    """Says what the test puts there, and then that the connection is lost."""

    def __init__(self, says: list[dict[str, object]]) -> None:
        self.says = says
        self.seen: list[bool] = []
        self.bridge: Bridge | None = None

    def pubsub(self, **_: object) -> PubSub:
        return self

    def subscribe(self, *channels: object) -> None:
        self.channels = channels

    def get_message(self, **_: object) -> dict[str, object]:
        assert self.bridge is not None
        self.seen.append(self.bridge.is_listening)
        if not self.says:
            raise ConnectionError("lost")
        return self.says.pop(0)

    def close(self) -> None:
        """Nothing is held."""


def test_a_bridge_listens_when_the_server_has_said_so_of_all_channels(monkeypatch: pytest.MonkeyPatch) -> None:
    """Not before: what others say meanwhile does not come; nor once the connection is lost."""
    server = PubSub([{"type": "subscribe", "data": number} for number in (1, 2, 3)])
    monkeypatch.setattr(Bridge, "_client", lambda _: server)
    bridge = server.bridge = Bridge("redis://127.0.0.1:1", "test", lambda _: None, LOG)
    bridge.others |= {b"requests": lambda _: None, b"replies": lambda _: None}
    with pytest.raises(ConnectionError):
        bridge._listen_while_connected(lambda: None)
    assert server.seen == [False, False, False, True]
    assert not bridge.is_listening


class SilentPubSub(PubSub):
    """Says nothing any more, after a while as long as a bridge waits."""

    def __init__(self, says: list[dict[str, object] | None], now: list[float]) -> None:
        super().__init__([])
        self.words = says
        self.now = now
        self.pings = 0

    def get_message(self, **_: object) -> Any:
        word = self.words.pop(0)
        self.now[0] += 2.0 if word is None else 0.0
        return word

    def ping(self) -> None:
        self.pings += 1


def test_a_bridge_connects_anew_where_no_ping_is_answered(monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever it hears is an answer; two silent waits are none."""
    now = [0.0]
    monkeypatch.setattr("nodecluster_compat.sharing.bridge.time", SimpleNamespace(monotonic=lambda: now[0]))
    server = SilentPubSub([None, {"type": "pong"}, None, {"type": "pong"}, None, None], now)
    monkeypatch.setattr(Bridge, "_client", lambda _: server)
    bridge = Bridge("redis://127.0.0.1:1", "test", lambda _: None, LOG)
    with pytest.raises(TimeoutError, match="nothing was heard"):
        bridge._listen_while_connected(lambda: None)
    assert (server.words, server.pings) == ([], 3)
