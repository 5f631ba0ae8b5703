"""How a worker publishes: held up by a primary that does not keep up, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from contextlib import nullcontext
from typing import Any

import pytest
from exchange_peers import LOG
from manual_clock import ManualClock

from nodecluster_compat.errors import MessageTooLarge, WouldBlock
from nodecluster_compat.messages.frames import HEADER, Frame, FrameKind
from nodecluster_compat.sharing.apart import waiting_in_loop
from nodecluster_compat.sharing.outcomes import Failure, error_of
from nodecluster_compat.sharing.publishing_pace import EASE_SECONDS, WINDOW, PublishingPace
from nodecluster_compat.sharing.sides import MOST_UNREAD_BYTES
from nodecluster_compat.sharing.subscriptions import Subscribers
from nodecluster_compat.sharing.verbs import Verbs
from nodecluster_compat.sharing.wire import (
    decode,
    decode_call,
    decode_return,
    encode,
    encode_publication,
    encode_return,
)
from nodecluster_compat.sharing.worker_side import WorkerSide


class Member:
    """A worker whose channel says what a test has set."""

    def __init__(self) -> None:
        self.frames: Any = self
        self.when_closed: list[Any] = []
        self.max_message_bytes = 1024 * 1024
        self.is_pressed = False
        self.takes = self.connected = True
        self.may_wait = True
        self.asked: list[int] = []
        self.lock = nullcontext()
        self.publish_quickly: Any = None
        self.returned: Any = None
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.waits: list[bool] = []
        self.bounds: list[int | None] = []
        self.sent: list[bytes] = []
        self.runtime: Any = self

    def on(self, kind: FrameKind, handler: Any) -> None:
        if kind is FrameKind.RETURN:
            self.returned = handler

    def answer(self) -> None:
        """The primary has passed on all that was published."""
        payload = encode_return(self.asked.pop(), True, encode(None))[HEADER.size :]
        self.returned(self, Frame(FrameKind.RETURN, payload))

    def take_published_by(self, take: Callable[[bytes], bool]) -> None:
        pass

    def is_connected(self) -> bool:
        return self.connected

    def send_frame(self, frame: bytes, most: int | None = None) -> bool:
        self.bounds.append(most)
        self.sent.append(frame)
        if frame[HEADER.size - 1] == FrameKind.CALL:
            number, verb, _ = decode_call(frame[HEADER.size :])
            if verb == "nothing":
                self.asked.append(number)
        return self.takes

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((seconds, callback))

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        if not self.may_wait:
            raise WouldBlock("here nobody may")
        done: list[None] = []
        begin(lambda: done.append(None))
        self.waits.append(bool(done))

    def waiting(self, begin: Callable[[Callable[[], None]], None]) -> Any:
        return waiting_in_loop(begin)


@pytest.fixture
def member() -> Member:
    return Member()


@pytest.fixture
def lost() -> list[str]:
    return []


@pytest.fixture
def side(member: Member, lost: list[str]) -> WorkerSide:
    given: Any = member
    made = WorkerSide(given, Subscribers(lambda *_: None), Verbs(), LOG, lost.append)
    made._pace = PublishingPace(made._when_passed_on, made._later, ManualClock())
    return made


def test_nobody_waits_for_a_primary_that_keeps_up(side: WorkerSide, member: Member) -> None:
    for _ in range(WINDOW - 1):
        assert side.publish("t", b"\x01")
    assert (member.waits, member.asked) == ([], [])


def test_who_publishes_too_fast_waits_for_what_it_has_published(side: WorkerSide, member: Member) -> None:
    """However little waits for the primary, or much at once: until it has passed that on, or for a moment."""
    for _ in range(WINDOW):
        assert side.publish("t", b"\x01")
    assert (member.waits, len(member.asked), [seconds for seconds, _ in member.timers]) == ([False], 1, [EASE_SECONDS])
    member.answer()
    _, go_on = member.timers.pop()
    go_on()
    member.is_pressed = True
    assert side.publish("t", b"\x01")
    assert (member.waits, len(member.asked)) == ([False] * 2, 1)


def test_c_sends_what_it_can_and_python_the_rest(side: WorkerSide, member: Member) -> None:
    """Either counts."""
    posted: list[bytes] = []
    member.publish_quickly = lambda payload: posted.append(payload) or len(posted) % 2 == 1 or None
    for _ in range(WINDOW):
        assert side.publish("t", b"\x01")
    assert posted == [encode_publication("t", b"\x01")] * WINDOW
    assert (len(member.bounds), member.waits) == (WINDOW // 2 + 1, [False])  # and what asks the primary


def test_who_must_not_wait_does_not(side: WorkerSide, member: Member, lost: list[str]) -> None:
    member.is_pressed, member.may_wait = True, False
    assert side.publish("t", b"\x01")
    assert lost == []


def test_a_message_that_was_refused_is_lost_and_nobody_waits(side: WorkerSide, member: Member, lost: list[str]) -> None:
    member.is_pressed, member.takes = True, False
    assert not side.publish("t", b"\x01")
    assert (member.waits, lost) == ([], ["slow_primary"])
    member.connected = False  # this worker ends: that is no loss of the bus
    assert not side.publish("t", b"\x01")
    assert lost == ["slow_primary"]


def test_what_is_told_is_bounded_and_its_sender_held_up_if_it_may_be(
    side: WorkerSide, member: Member, lost: list[str]
) -> None:
    """Broadcasts, and what comes from other hosts: however slow the primary is, this process does not grow."""
    member.is_pressed = True
    assert side.tell("inject", b"\x01")
    assert member.waits == []
    assert side.tell("broadcast", b"\x01", True)
    assert member.waits == [False]
    member.takes = False
    assert not side.tell("inject", b"\x01")
    assert (lost, set(member.bounds)) == (["slow_primary"], {MOST_UNREAD_BYTES})
    with pytest.raises(MessageTooLarge):
        side.tell("inject", b"x" * member.max_message_bytes)


def test_a_task_waits_without_the_loop(side: WorkerSide, member: Member) -> None:
    """Until the primary has passed on what was published, and as long again; or until that takes too long."""

    async def publish() -> None:
        member.may_wait = False
        side.publish("t", b"\x01")
        await side.ease()

    async def main() -> None:
        for _ in range(WINDOW - 1):
            await publish()
        assert member.asked == []
        member.is_pressed = True
        for is_answered in (True, False):
            member.timers.clear()
            easing = asyncio.create_task(publish())
            await asyncio.sleep(0)
            assert not easing.done()
            if is_answered:
                member.answer()
            _, go_on = member.timers[-1]
            go_on()
            await easing

    asyncio.run(main())


def test_an_answer_that_the_primary_would_refuse_is_a_failure(side: WorkerSide, member: Member) -> None:
    """It would close the channel, which ends this worker, for what another one has asked."""
    most = member.max_message_bytes - len(encode_return(7, True, b"")) + HEADER.size
    for size in (most, most + 1):
        side.give(7, True, b"x" * size)
    fits, refusal = (decode_return(frame[HEADER.size :]) for frame in member.sent)
    assert (fits[:2], len(fits[2]), refusal[:2]) == ((7, True), most, (7, False))
    assert isinstance(error_of(decode(refusal[2], Failure)), MessageTooLarge)
