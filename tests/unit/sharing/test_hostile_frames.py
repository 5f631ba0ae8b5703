"""Whatever comes in the frames of the sharing, in a primary and a worker: a FrameError, or an answer; nothing else.

Garbage, what is cut off, and what is whole and means nothing, for every verb that either of them knows.
"""

from __future__ import annotations

import logging
from collections.abc import Callable
from contextlib import nullcontext, suppress
from typing import Any, Final

import pytest
from drawing import drawn
from exchange_peers import Peer, Timers
from hypothesis import HealthCheck, Phase, given, settings
from hypothesis import strategies as st

from nodecluster_compat.errors import FrameError
from nodecluster_compat.messages.frames import HEADER, Frame, FrameKind, encode_frame
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.group_desk import GroupDesk
from nodecluster_compat.sharing.leader_desk import LeaderDesk
from nodecluster_compat.sharing.lock_desk import LockDesk
from nodecluster_compat.sharing.once_desk import OnceDesk
from nodecluster_compat.sharing.remote_desk import RemoteDesk
from nodecluster_compat.sharing.remote_groups import RemoteGroups
from nodecluster_compat.sharing.this_process import Sharing
from nodecluster_compat.sharing.wire import decode_return, encode, encode_call, encode_publish, encode_return

LOG: Final = logging.getLogger("hostile")
LOG.setLevel(logging.CRITICAL)


class Marks:
    """A folder that nobody else has."""

    def take(self, name: str) -> bool:
        return True

    def give_back(self, name: str) -> None:
        pass

    def mark(self, name: str) -> None:
        pass

    def is_marked(self, name: str) -> bool:
        return False


def primary() -> tuple[Exchange, list[Peer]]:
    exchange = Exchange(Timers(), LOG)
    far = RemoteDesk(exchange, LockDesk(exchange, 1, Marks()))
    LeaderDesk(exchange, 1, Marks())
    OnceDesk(exchange, Marks())
    RemoteGroups(exchange, GroupDesk(exchange), far)
    return exchange, [Peer(number, exchange) for number in range(3)]


class Member:
    """A worker whose handlers of frames a test calls, and the runtime below it."""

    def __init__(self) -> None:
        self.id = 1
        self.frames = self
        self.handlers: dict[FrameKind, Callable[[object, Frame], None]] = {}
        self.when_attached: list[Callable[[], None]] = []
        self.when_closed: list[Callable[[], None]] = []
        self.at_end: list[Callable[[], None]] = []
        self.sent: list[bytes] = []
        self.heard: list[bytes] = []
        self.runtime = self
        self.lock = nullcontext()
        self.max_message_bytes = 2**20

    def take_published_by(self, take: Callable[[bytes], bool]) -> None:
        self.take_run = take

    def on(self, kind: FrameKind, handler: Callable[[object, Frame], None]) -> None:
        self.handlers[kind] = handler

    def receive_packed(self, body: bytes) -> None:
        self.heard.append(body)

    def send_frame(self, frame: bytes, most: int | None = None) -> bool:
        self.sent.append(frame)
        return True

    def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        if then is not None:
            then()

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        pass

    def deliver_apart(self, take: Callable[[], Any], tell: Callable[[Any], None]) -> None:
        while (item := take()) is not None:
            tell(item)

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        self.at_end.append(callback)

    def receive(self, kind: FrameKind, payload: bytes) -> None:
        try:
            self.handlers[kind](None, Frame(kind, payload))
        finally:
            callbacks, self.at_end = self.at_end, []
            for callback in callbacks:
                callback()

    def hears_requests(self) -> bool:
        return True

    def tell_request(self, message: object, reply: Callable[[object], bool]) -> None:
        reply(message)


VERBS: Final = sorted({*primary()[0].verbs._handlers, *Sharing().verbs._handlers, "nobody knows"})
PLAIN = st.one_of(
    st.none(), st.booleans(), st.integers(-(2**63), 2**64 - 1), st.floats(), st.text(max_size=8), st.binary(max_size=8)
)
VALUES = st.recursive(
    PLAIN, lambda inner: st.lists(inner, max_size=5) | st.dictionaries(st.text(max_size=4), inner, max_size=3)
)
UNANSWERED: Final = {"broadcast", "carry", "carry groups"}  # where what they bring is in order
BODIES = st.one_of(st.binary(max_size=40), VALUES.map(encode))
NUMBERS = st.one_of(st.integers(0, 3), st.integers(0, 2**64 - 1))
PRINTABLE = st.characters(exclude_categories=("C", "Z"), include_characters=" ")
TOPICS = st.text(PRINTABLE, min_size=1, max_size=9)


def published(topic: str, body: bytes) -> tuple[FrameKind, bytes]:
    return FrameKind.PUBLISH, encode_publish(topic, body)


def called(number: int, verb: str, body: bytes) -> tuple[FrameKind, bytes]:
    return FrameKind.CALL, encode_call(number, verb, body)


def returned(number: int, is_done: bool, body: bytes) -> tuple[FrameKind, bytes]:
    return FrameKind.RETURN, encode_return(number, is_done, body)


WHOLE = st.one_of(
    st.builds(published, TOPICS, BODIES),
    st.builds(called, NUMBERS, st.sampled_from(VERBS), BODIES),
    st.builds(returned, NUMBERS, st.booleans(), BODIES),
)


def cut(frame: tuple[FrameKind, bytes], end: int, new: bytes) -> tuple[FrameKind, bytes]:
    kind, data = frame
    payload = data[HEADER.size :]
    return kind, payload[:end] + new if end < len(payload) else payload


FRAMES = st.lists(
    st.builds(cut, WHOLE, st.one_of(st.just(10**6), st.integers(0, 30)), st.binary(max_size=6)), min_size=1, max_size=12
)
MANY = settings(
    max_examples=drawn(100),
    deadline=None,
    phases=[Phase.explicit, Phase.reuse, Phase.generate],  # whoever looks for the cause adds shrinking
    suppress_health_check=[HealthCheck.too_slow],
)


@MANY
@given(FRAMES)
def test_a_primary(frames: list[tuple[FrameKind, bytes]]) -> None:
    """Closes the channel of whoever sent it, at most; the others go on."""
    exchange, (_, hostile, other) = primary()
    for kind, payload in frames:
        receive: Any = {
            FrameKind.PUBLISH: exchange.publish,
            FrameKind.CALL: lambda payload: exchange.called(1, payload),
            FrameKind.RETURN: lambda payload: exchange.returned(1, payload),
        }[kind]
        try:
            receive(payload)
        except FrameError:
            exchange.leave(hostile.id)
            exchange.tell("ended", hostile.id)
            break
    other.got.clear()
    other.calls("subscribe", "sound")
    exchange.publish(encode_publish("sound", encode(1))[HEADER.size :])
    assert other.got == [("sound", 1)]


@MANY
@given(FRAMES)
def test_a_worker(frames: list[tuple[FrameKind, bytes]]) -> None:
    """Answers, or closes its channel; whoever subscribes hears what comes afterwards."""
    sharing, member = Sharing(), Member()
    heard: list[Any] = []
    sharing.become_worker(member, LOG)  # type: ignore[arg-type]
    sharing.subscribe("sound", lambda topic, message: heard.append(message))
    for kind, payload in frames:
        with suppress(FrameError):  # which closes the channel; here all of it goes on
            member.receive(kind, payload)
    heard.clear()
    member.receive(FrameKind.PUBLISH, encode_publish("sound", encode(1))[HEADER.size :])
    assert heard == [1]


@MANY
@given(st.lists(FRAMES, max_size=5))
def test_frames_that_come_together(many: list[list[tuple[FrameKind, bytes]]]) -> None:
    """They are taken whole, or left to be dealt with one by one: neither side raises."""
    exchange, (_, _, other) = primary()
    sharing, member = Sharing(), Member()
    sharing.become_worker(member, LOG)  # type: ignore[arg-type]
    for frames in many:
        run = b"".join(encode_frame(FrameKind.PUBLISH, payload) for _, payload in frames)
        assert exchange.publish_run(run) is member.take_run(run)
    other.calls("subscribe", "sound")
    assert exchange.publish_run(encode_publish("sound", encode(1)))
    assert other.got[-1] == ("sound", 1)


@MANY
@given(st.sampled_from(VERBS), BODIES)
def test_what_a_worker_is_called_for(verb: str, body: bytes) -> None:
    """Another worker may be behind it: an answer says what is wrong, and the channel stays."""
    sharing, member = Sharing(), Member()
    sharing.become_worker(member, LOG)  # type: ignore[arg-type]
    member.receive(FrameKind.CALL, encode_call(7, verb, body)[HEADER.size :])
    member.receive(FrameKind.CALL, encode_call(8, "nobody knows", b"")[HEADER.size :])
    answers = [decode_return(frame[HEADER.size :]) for frame in member.sent]
    numbers = [number for number, _, _ in answers]
    assert numbers == [7, 8] or (verb in UNANSWERED and numbers == [8])
    assert not answers[-1][1]


@pytest.mark.parametrize("kind", [FrameKind.PUBLISH, FrameKind.CALL, FrameKind.RETURN])
def test_nothing_at_all(kind: FrameKind) -> None:
    """An empty payload is none."""
    sharing, member = Sharing(), Member()
    sharing.become_worker(member, LOG)  # type: ignore[arg-type]
    with pytest.raises(FrameError):
        member.receive(kind, b"")
