"""Request and reply: every way in which one ends, without a process."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, cast

import pytest

from nodecluster_compat.errors import (
    ArgumentTypeError,
    ChannelClosed,
    ChannelFull,
    ClusterError,
    MessageNotSerializable,
    RequestFailed,
    RequestTimedOut,
)
from nodecluster_compat.messages.frames import FrameDecoder, FrameKind
from nodecluster_compat.messages.line import Line
from nodecluster_compat.messages.request_payloads import encode_asked, encode_reply
from nodecluster_compat.messages.serialization import JSON
from nodecluster_compat.roles.answers import Replied, waited
from nodecluster_compat.roles.requests import Reply, Requests, checked_request_timeout


class Side:
    """One end, with the other end as its line."""

    def __init__(self) -> None:
        self.now = 0.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.delivered: list[tuple[Any, Reply]] = []
        self.listens = True
        self.serializer = JSON
        self.refusal: ClusterError | None = None
        self.other: Side
        self.requests = Requests(
            cast("Line", self),
            "the peer",
            lambda message, reply: self.delivered.append((message, reply)),
            lambda: self.listens,
            lambda: self.now,
        )

    def send_request(self, number: int, message: Any, callback: Callable[[Any], None]) -> None:
        frame = encode_asked(number, message)
        if self.refusal is not None:
            callback(self.refusal)
        else:
            self.other.receive(frame)

    def send_reply(self, number: int, is_met: bool, value: Any) -> bool:
        self.other.receive(encode_reply(number, is_met, value))
        return True

    def receive(self, data: bytes) -> None:
        for frame in FrameDecoder().feed(data):
            (self.requests.asked if frame.kind is FrameKind.REQUEST else self.requests.replied)(frame)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, callback))

    def pass_time(self, seconds: float) -> None:
        self.now += seconds
        due = [timer for timer in self.timers if timer[0] <= self.now]
        self.timers = [timer for timer in self.timers if timer[0] > self.now]
        for _, callback in due:
            callback()

    def ask(self, message: Any, seconds: float | None = None) -> list[Any]:
        ended: list[Any] = []
        self.requests.ask(message, seconds, lambda error, value: ended.append(error or value), self)
        return ended


@pytest.fixture
def sides() -> tuple[Side, Side]:
    """Two ends of a line."""
    one, other = Side(), Side()
    one.other, other.other = other, one
    return one, other


def test_replies_find_their_requests(sides: tuple[Side, Side]) -> None:
    """In whatever order they come; only the first answer counts."""
    one, other = sides
    first, second = one.ask("a"), one.ask("b")
    (_, reply_a), (_, reply_b) = other.delivered
    assert reply_b({"to": "b"}) is True
    assert (first, second) == ([], [{"to": "b"}])
    assert (reply_a.is_sent, reply_b.is_sent) == (False, True)
    assert (reply_a(), reply_a("again"), reply_a.fail("no")) == (True, False, False)
    assert (first, second) == ([None], [{"to": "b"}])


def test_failed_reply_has_its_reason(sides: tuple[Side, Side]) -> None:
    """``RequestFailed``."""
    one, other = sides
    ended = one.ask("a")
    other.delivered[0][1].fail("not today")
    assert isinstance(ended[0], RequestFailed)
    assert str(ended[0]).endswith("not today")


def test_answer_that_cannot_be_sent_may_be_followed_by_one_that_can(sides: tuple[Side, Side]) -> None:
    """Nothing was sent."""
    one, other = sides
    ended = one.ask("a")
    with pytest.raises(MessageNotSerializable):
        other.delivered[0][1](object())
    other.delivered[0][1](1)
    assert ended == [1]


def test_time_out_ends_what_is_late_and_nothing_else(sides: tuple[Side, Side]) -> None:
    """One timer for all of them; a late reply is dropped."""
    one, other = sides
    slow, quick, none = one.ask("a", 5), one.ask("b", 1), one.ask("c")
    one.pass_time(1)
    assert [type(error) for error in quick] == [RequestTimedOut]
    assert (slow, none) == ([], [])
    one.pass_time(3.9)
    assert slow == []
    one.pass_time(0.2)
    assert isinstance(slow[0], TimeoutError)
    for _, reply in other.delivered:
        reply("late")
    assert (len(slow), len(quick), none) == (1, 1, ["late"])
    assert one.timers == []


def test_timers_do_not_pile_up(sides: tuple[Side, Side]) -> None:
    """Of many requests that were answered, little is left."""
    one, other = sides
    for number in range(5000):
        one.ask(number, 30)
        other.delivered.pop()[1]()
    assert len(one.timers) == 1
    assert len(one.requests._deadlines) <= 1002


def test_closed_channel_ends_all(sides: tuple[Side, Side]) -> None:
    """Whatever their time-outs."""
    one, _ = sides
    first, second = one.ask("a", 5), one.ask("b")
    one.requests.closed()
    assert [type(error) for error in (*first, *second)] == [ChannelClosed, ChannelClosed]
    one.pass_time(10)
    assert len(first) == 1


def test_request_that_cannot_be_sent(sides: tuple[Side, Side]) -> None:
    """An error of the line comes as any other; a wrong message raises at once."""
    one, _ = sides
    one.refusal = ChannelFull("full")
    assert one.ask("a", 5) == [one.refusal]
    with pytest.raises(MessageNotSerializable):
        one.ask(object())
    assert one.timers == []


def test_requests_before_the_first_listener_are_kept(sides: tuple[Side, Side]) -> None:
    """In order, and up to a bound."""
    one, other = sides
    other.listens = False
    ended = [one.ask(number) for number in range(1025)]
    assert isinstance(ended[-1][0], RequestFailed)
    other.requests.listener_added()
    assert other.delivered == []
    other.listens = True
    other.requests.listener_added()
    assert [message for message, _ in other.delivered] == list(range(1024))


def test_kept_requests_are_bounded_in_bytes(sides: tuple[Side, Side]) -> None:
    """A peer that asks a program which never listens costs a known amount of memory."""
    one, other = sides
    other.listens = False
    large = "x" * (6 * 1024 * 1024)
    ended = [one.ask(large) for _ in range(3)]
    assert isinstance(ended[-1][0], RequestFailed)
    other.listens = True
    other.requests.listener_added()
    assert [len(str(message)) for message, _ in other.delivered] == [len(large)] * 2


def test_waiting_returns_or_raises() -> None:
    """The caller's side of a call that waits, whatever waits for it."""

    def wait(begin: Callable[[Callable[[], None]], None]) -> None:
        done: list[bool] = []
        begin(lambda: done.append(True))
        assert done == [True]

    def failing(replied: Replied) -> None:
        replied(RequestTimedOut("late"), None)

    def unsendable(_: Replied) -> None:
        raise MessageNotSerializable("what")

    assert waited(wait, lambda replied: replied(None, 5)) == 5
    for ask, error in ((failing, RequestTimedOut), (unsendable, MessageNotSerializable)):
        with pytest.raises(error):
            waited(wait, ask)


@pytest.mark.parametrize("timeout", [None, float("inf"), 10**400, 2**41], ids=["none", "infinity", "huge", "long"])
def test_for_ever(timeout: Any) -> None:
    """Infinity is, too: the primary takes no number that is none."""
    assert checked_request_timeout(timeout) is None
    assert checked_request_timeout(1e6) == 1e6


@pytest.mark.parametrize("timeout", [0, -1, "5", True, float("nan")])
def test_wrong_time_out(timeout: Any) -> None:
    """Refused by a sentence."""
    with pytest.raises(ArgumentTypeError, match="seconds above 0"):
        checked_request_timeout(timeout)
