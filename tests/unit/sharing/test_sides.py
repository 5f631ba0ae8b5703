"""How a worker publishes: held up by a primary that does not keep up, and never for long."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_peers import LOG

from nodecluster_compat.errors import MessageTooLarge, WouldBlock
from nodecluster_compat.messages.frames import HEADER
from nodecluster_compat.sharing.apart import waiting_in_loop
from nodecluster_compat.sharing.sides import EASE_SECONDS, MOST_UNREAD_BYTES, WorkerSide
from nodecluster_compat.sharing.subscriptions import Subscribers
from nodecluster_compat.sharing.verbs import Verbs
from nodecluster_compat.sharing.wire import decode_call


class Member:
    """A worker whose channel says what a test has set."""

    def __init__(self) -> None:
        self.frames: Any = SimpleNamespace(on=lambda *_: None)
        self.when_closed: list[Any] = []
        self.max_message_bytes = 1024 * 1024
        self.is_pressed = False
        self.takes = self.connected = True
        self.may_wait = True
        self.posted: list[Callable[[Any], None]] = []
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.waits: list[bool] = []
        self.bounds: list[int | None] = []
        self.runtime: Any = self

    def take_published_by(self, take: Callable[[bytes], bool]) -> None:
        pass

    def is_connected(self) -> bool:
        return self.connected

    def send_frame(self, frame: bytes, most: int | None = None) -> bool:
        self.bounds.append(most)
        return self.takes

    def post_frame(self, frame: bytes, callback: Callable[[Any], None]) -> None:
        assert decode_call(frame[HEADER.size :])[1] == "nothing"
        self.posted.append(callback)

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
    return WorkerSide(given, Subscribers(lambda *_: None), Verbs(), LOG, lost.append)


def test_nobody_waits_for_a_primary_that_keeps_up(side: WorkerSide, member: Member) -> None:
    assert side.publish("t", b"\x01")
    assert (member.waits, member.posted) == ([], [])


def test_who_publishes_too_fast_waits_for_what_it_has_published(side: WorkerSide, member: Member) -> None:
    member.is_pressed = True
    assert side.publish("t", b"\x01")
    assert member.waits == [False]  # until one of the two comes
    assert len(member.posted) == 1
    assert [seconds for seconds, _ in member.timers] == [EASE_SECONDS]


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
    async def main() -> None:
        await side.ease()
        assert member.posted == []
        member.is_pressed = True
        easing = asyncio.create_task(side.ease())
        await asyncio.sleep(0)
        assert not easing.done()
        for end in (lambda: member.posted[0](None), member.timers[0][1]):
            end()  # whichever comes first, the other one is nothing
        await easing

    asyncio.run(main())
