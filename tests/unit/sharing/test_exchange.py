"""The exchange with peers that only write down: who gets what, in which order, and who is missing."""

from __future__ import annotations

from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.errors import FrameError, InternalError
from nodecluster_compat.messages.frames import HEADER
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.outcomes import Failure
from nodecluster_compat.sharing.wire import decode, encode, encode_publish


class Rig:
    def __init__(self, workers: int = 3) -> None:
        self.timers = Timers()
        self.exchange = Exchange(self.timers, LOG)
        self.peers = [Peer(number, self.exchange) for number in range(workers + 1)]

    def publish(self, topic: str, message: Any) -> None:
        self.exchange.publish(encode_publish(topic, encode(message))[HEADER.size :])


def ask(target: Any, seconds: float | None = 5.0) -> tuple[Any, ...]:
    return (target, "asked", encode("what?"), seconds)


def test_published_to_those_who_want_it() -> None:
    """Once each, in order, until they no longer do; whoever has gone costs nothing."""
    rig = Rig()
    primary, first, second, third = rig.peers
    for peer, pattern in ((primary, "cache.*"), (first, "cache.*"), (first, "cache.user"), (second, "other")):
        peer.calls("subscribe", pattern)
    rig.publish("cache.user", 1)
    first.calls("unsubscribe", "cache.*")
    first.calls("unsubscribe", "never.asked")
    rig.publish("cache.user", 2)
    rig.publish("cache.x", 3)
    rig.exchange.leave(first.id)
    rig.publish("cache.user", 4)
    assert first.got == [("cache.user", 1), ("cache.user", 2)]
    assert primary.got == [("cache.user", 1), ("cache.user", 2), ("cache.x", 3), ("cache.user", 4)]
    assert (second.got, third.got, rig.exchange.fan_out.published) == ([], [], 4)


def test_whoever_does_not_read_is_counted_and_blocks_nobody(caplog: pytest.LogCaptureFixture) -> None:
    """The others get all; the log says so a few times, not each time."""
    rig = Rig()
    _, slow, quick, _ = rig.peers
    for peer in (slow, quick):
        peer.calls("subscribe", "*")
    slow.reads = False
    for number in range(1000):
        rig.publish("x", number)
    assert len(quick.got) == 1000
    assert (rig.exchange.fan_out.lost, rig.exchange.fan_out.missed) == ({"slow_worker": 1000}, {slow.id: 1000})
    assert 0 < len(caplog.records) < 12


def test_a_request_to_all_knows_who_must_answer() -> None:
    """Every worker that is there when it is asked; later ones are not waited for, and the primary is none."""
    rig = Rig()
    primary, first, second, third = rig.peers
    first.calls("ask", ask(None), number=9)
    Peer(7, rig.exchange)
    assert primary.asked == []
    for peer in (third, first):
        peer.returns(peer.asked[0][0], f"from {peer.id}")
    assert first.given == []
    second.returns(second.asked[0][0], {"cause": 1}, is_done=False)  # no failure, as it should be
    assert first.outcome() == ({3: "from 3", 1: "from 1"}, {2: "failed"})
    assert rig.timers.set[0][1].cancelled


def test_a_request_ends_when_a_worker_dies_or_the_time_is_over() -> None:
    """What came is returned, and who is missing, by name."""
    rig = Rig()
    _, first, second, third = rig.peers
    first.calls("ask", ask(None), number=9)
    first.returns(first.asked[0][0], 1)
    rig.exchange.leave(second.id)
    assert first.given == []
    rig.timers.set[0][1].callback()
    assert first.outcome() == ({1: 1}, {2: "gone", 3: "late"})
    third.returns(third.asked[0][0], "too late")
    rig.timers.set[0][1].callback()
    assert len(first.given) == 1


def test_one_worker_or_a_topic() -> None:
    """Whoever is not there is missing at once; a topic that nobody wants has no replies."""
    rig = Rig()
    primary, first, second, third = rig.peers
    first.calls("ask", ask(99), number=1)
    assert first.outcome() == ({}, {99: "gone"})
    first.given.clear()
    first.calls("ask", ask("nobody"), number=2)
    assert first.outcome() == ({}, {})
    first.given.clear()
    for peer in (primary, third):
        peer.calls("subscribe", "stats.*")
    first.calls("ask", ask("stats.now", None), number=3)
    for peer in (primary, third):
        peer.returns(peer.asked[0][0], peer.id)
    assert first.outcome() == ({0: 0, 3: 3}, {})
    first.given.clear()
    second.reads = False
    first.calls("ask", ask(2), number=4)
    assert first.outcome() == ({}, {2: "failed"})


def test_whoever_asked_and_has_gone_is_not_answered() -> None:
    """Nor does anything of it stay."""
    rig = Rig()
    _, first, second, third = rig.peers
    first.calls("ask", ask(2), number=1)
    rig.exchange.leave(first.id)
    second.returns(second.asked[0][0], 1)
    assert first.given == []
    third.returns(second.asked[0][0], "not mine")
    assert rig.exchange._asking._asked == {}


@pytest.mark.parametrize(
    ("verb", "arguments"),
    [
        ("subscribe", 5),
        ("subscribe", ""),
        ("subscribe", "x" * 256),
        ("ask", []),
        ("ask", [None, "lock", b"", 1.0]),
        ("ask", [None, "asked", b"", -1.0]),
        ("ask", [None, "asked", b"", float("nan")]),
        ("ask", [{}, "asked", b"", 1.0]),
    ],
)
def test_what_makes_no_sense_is_an_error_of_the_worker(verb: str, arguments: Any) -> None:
    """``FrameError`` closes its channel."""
    rig = Rig()
    with pytest.raises(FrameError):
        rig.peers[1].calls(verb, arguments, number=1)


def test_a_worker_with_too_many_patterns_or_calls() -> None:
    """Patterns are bounded by ending the worker's channel, calls by an answer."""
    rig = Rig()
    first = rig.peers[1]
    for number in range(4096):
        first.calls("subscribe", str(number))
    with pytest.raises(FrameError, match="too many"):
        first.calls("subscribe", "one more")
    for number in range(1, 4200):
        first.calls("ask", ask(2), number=number)
    failures = [decode(body, Failure) for _, is_done, body in first.given if not is_done]
    assert {one.cause for one in failures} == {"failed"}
    assert 0 < len(failures) < 200


def test_another_version_is_told_so() -> None:
    """A verb that nobody knows here is a failure of that call alone; a verb has one handler."""
    rig = Rig()
    rig.peers[1].calls("fly", "away", number=5)
    [(number, is_done, body)] = rig.peers[1].given
    assert (number, is_done) == (5, False)
    assert "another version" in decode(body, Failure).reason
    with pytest.raises(InternalError):
        rig.exchange.verbs.on("ask", int, lambda *_: None)
