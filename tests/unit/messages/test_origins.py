"""Handlers of many messages have their origins, and nothing else has: C keeps one from one call to the next."""

from __future__ import annotations

import _socket
import logging
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from nodecluster_compat.base.handler_calls import current_origin, guarded
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.messages.channel import Channel
from nodecluster_compat.messages.frames import Frame, FrameKind, encode_frame

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
MESSAGE, OTHER = FrameKind.MESSAGE, FrameKind.ONLINE


class Listening:
    """A channel whose messages go to handlers, by their first byte; other frames say which origin they came in."""

    def __init__(self, choice: Choice) -> None:
        self.loop = Loop(logging.getLogger("test"))
        self.far, ours = _socket.socketpair()
        self.origins: list[object] = []
        self.do: Callable[[], object] = lambda: None
        self.handlers = {name: guarded("a test", name, self._handle, choice) for name in ("one", "two")}
        self.handlers["none"] = guarded("a test", None, self._handle, choice)
        self.closed: Callable[[], object] = lambda: None
        self.channel = Channel(ours, self._frame, lambda _: self.closed(), choice=choice)
        self.channel.take_messages_by(self._message)
        self.channel.attach(self.loop)

    def _message(self, payload: bytes) -> bool:
        if payload == b"frame":
            return False
        self.handlers[payload.decode()]()
        return True

    def _handle(self) -> None:
        self.origins.append(current_origin())
        self.do()

    def _frame(self, frame: Frame) -> None:
        if frame.kind is not MESSAGE or not self._message(bytes(frame.payload)):
            self.origins.append((frame.kind, current_origin()))

    def hear(self, *frames: bytes | FrameKind) -> list[object]:
        """Let these come together."""
        self.far.send(
            b"".join(
                encode_frame(each, b"") if isinstance(each, FrameKind) else encode_frame(MESSAGE, each)
                for each in frames
            )
        )
        self.loop.run_once(0)
        heard, self.origins = self.origins, []
        return heard

    def close(self) -> None:
        self.channel.close()
        self.far.close()
        self.loop.close()


@pytest.fixture(params=[pytest.param(PYTHON, id="python"), pytest.param(in_force(), id="native", marks=needs_native)])
def listening(request: pytest.FixtureRequest, whole_slices: None) -> Iterator[Listening]:
    made = Listening(request.param)
    yield made
    made.close()


def test_each_handler_has_its_own(listening: Listening) -> None:
    before = current_origin()
    assert listening.hear(b"one", b"one", b"two", b"none", b"one") == ["one", "one", "two", before, "one"]
    assert current_origin() == before
    assert listening.hear(b"two", b"two") == ["two", "two"]


def test_what_is_no_message_has_none(listening: Listening) -> None:
    """Nor has a message that is left to be told as a frame."""
    before = current_origin()
    assert listening.hear(b"one", b"one", OTHER, b"one", b"frame", b"two") == [
        *("one", "one", (OTHER, before), "one", (MESSAGE, before), "two"),
    ]


def test_handler_that_ends_the_loop_takes_its_origin_along(listening: Listening) -> None:
    before = current_origin()
    ends = iter([False, False, True, False])

    def leave() -> None:
        if next(ends):
            raise SystemExit

    listening.do = leave
    with pytest.raises(SystemExit):
        listening.hear(b"one", b"one", b"one", b"two")
    assert current_origin() == before
    listening.loop.run_once(0)
    assert listening.origins == ["one", "one", "one", "two"]


def test_messages_within_a_handler(listening: Listening) -> None:
    """Of another channel, whose handlers have their own origin; afterwards it is the first one's again."""
    inner = Listening(in_force())
    seen: list[Any] = []
    listening.do = lambda: seen.append((inner.hear(b"two", b"two", OTHER), current_origin()))
    before = current_origin()
    assert listening.hear(b"one", b"one") == ["one", "one"]
    assert seen == [(["two", "two", (OTHER, "one")], "one")] * 2
    assert current_origin() == before
    inner.close()


def test_other_greenlets_have_their_own(listening: Listening) -> None:
    """While a handler waits."""
    seen: list[object] = []
    outside = gevent.spawn(lambda: (gevent.sleep(0), seen.append(current_origin())))
    listening.do = lambda: gevent.sleep(0)
    assert listening.hear(b"one", b"one", b"one") == ["one"] * 3
    outside.join()
    assert seen == [None]


def test_what_ends_the_channel_runs_without(listening: Listening) -> None:
    """As after any other message."""
    before, seen = current_origin(), list[object]()
    listening.closed = lambda: seen.append(current_origin())
    listening.far.send(encode_frame(MESSAGE, b"one") * 2 + bytes(8))
    listening.loop.run_once(0)
    assert listening.origins == ["one", "one"]
    assert seen == [before]
