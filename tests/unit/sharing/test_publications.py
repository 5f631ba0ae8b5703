"""Runs of frames that publish: what is in them, in C as in Python, and where they go."""

from __future__ import annotations

from collections import Counter
from contextlib import nullcontext
from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers
from hypothesis import example, given, settings
from hypothesis import strategies as st

from nodecluster_compat.base.native import PYTHON, in_force
from nodecluster_compat.messages.frames import FrameKind, encode_frame
from nodecluster_compat.sharing import subscriptions
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.publications import bodies_of, bodies_of_run, topics_of, topics_of_run
from nodecluster_compat.sharing.subscriptions import Subscribers, Subscription
from nodecluster_compat.sharing.wire import decode, encode, encode_publish

FRAMES = st.builds(encode_publish, st.sampled_from(["", "a", "a.b", "größe"]), st.binary(max_size=9))
PIECES = st.one_of(
    FRAMES, FRAMES, FRAMES, st.binary(max_size=12), st.sampled_from([b"\0\0\0\2\x11", b"\0\0\0\3\x11\0\1\xff"])
)
PUBLISH = FrameKind.PUBLISH


@pytest.mark.skipif(in_force().module is None, reason=str(in_force()))
@settings(deadline=None)
@given(st.lists(PIECES, max_size=9).map(b"".join))
@example(b"")
@example(encode_publish("a", b"1") * 3 + encode_publish("b", b"2") + encode_publish("a", b"3"))
@example(encode_publish("a", b"1")[:-1])  # cut off
@example(encode_publish("a", b"1") + encode_frame(FrameKind.CALL, b"\0\1a"))
@example(encode_frame(PUBLISH, b"\0"))  # no topic
@example(encode_frame(PUBLISH, b"\0\2a"))  # a topic that is longer than the frame
@example(encode_frame(PUBLISH, b"\0\1\xff"))  # one that is no text
@example(b"\xff\xff\xff\xff\x11\0\1a")
def test_c_finds_what_python_finds(run: bytes) -> None:
    """Whatever the bytes are: the same topics, places and messages, or that it is no run."""
    assert topics_of_run(in_force())(run) == topics_of_run(PYTHON)(run)
    assert bodies_of_run(in_force())(run) == bodies_of_run(PYTHON)(run)


def test_neighbours_of_one_topic_are_together() -> None:
    """In the order in which they came, with where they are."""
    first, second = encode_publish("a", b"1") + encode_publish("a", b"22"), encode_publish("b", b"3")
    run = first + second + first
    begins = len(first), len(first + second)
    assert topics_of(run) == [("a", 0, begins[0], 2), ("b", *begins, 1), ("a", begins[1], len(run), 2)]
    assert bodies_of(run) == [("a", [b"1", b"22"]), ("b", [b"3"]), ("a", [b"1", b"22"])]


class Rig:
    def __init__(self) -> None:
        self.exchange = Exchange(Timers(), LOG)
        self.peers = [Peer(number, self.exchange) for number in range(3)]

    def publish(self, *messages: tuple[str, Any]) -> bool:
        return self.exchange.publish_run(b"".join(encode_publish(topic, encode(value)) for topic, value in messages))


def test_a_run_goes_to_whoever_wants_it_in_as_few_pieces_as_there_are_audiences() -> None:
    """Each gets its messages, in order; topics that the same ones want go together."""
    rig = Rig()
    _, first, second = rig.peers
    for pattern in ("a", "b"):
        first.calls("subscribe", pattern)
        second.calls("subscribe", pattern)
    first.calls("subscribe", "mine")
    assert rig.publish(("a", 1), ("b", 2), ("a", 3), ("mine", 4), ("nobody's", 5), ("b", 6))
    assert first.got == [("a", 1), ("b", 2), ("a", 3), ("mine", 4), ("b", 6)]
    assert second.got == [("a", 1), ("b", 2), ("a", 3), ("b", 6)]
    assert ([run for run, _ in first.runs], rig.exchange.fan_out.published) == ([3, 1, 1], 6)


def test_each_message_of_a_run_that_is_not_read_counts(caplog: pytest.LogCaptureFixture) -> None:
    """As if it had come by itself."""
    rig = Rig()
    _, slow, quick = rig.peers
    for peer in (slow, quick):
        peer.calls("subscribe", "*")
    slow.reads = False
    for _ in range(100):
        rig.publish(("x", 1), ("y", 2), ("z", 3))
    fan_out = rig.exchange.fan_out
    assert (fan_out.missed[slow.id], fan_out.lost["slow_worker"], len(quick.got)) == (300, 300, 300)
    assert 0 < len(caplog.records) < 12


def test_a_run_for_other_hosts_or_with_a_fault_is_dealt_with_frame_by_frame() -> None:
    """It is refused before anybody has heard anything of it."""
    rig = Rig()
    _, first, second = rig.peers
    first.calls("subscribe", "*")
    assert not rig.exchange.publish_run(encode_publish("a", encode(1)) + encode_frame(PUBLISH, b"\0"))
    second.calls("bridge", True)
    assert not rig.publish(("a", 1))
    assert (first.got, rig.exchange.fan_out.published) == ([], 0)


class Post:
    """Delivers when a test says so."""

    lock = nullcontext()

    def __init__(self) -> None:
        self.ends: list[Any] = []
        self.deliverers: list[Any] = []

    def at_turn_end(self, callback: Any) -> None:
        self.ends.append(callback)

    def deliver_apart(self, take: Any, tell: Any) -> None:
        self.deliverers.append((take, tell))


def test_what_came_together_waits_within_the_bounds(monkeypatch: pytest.MonkeyPatch) -> None:
    """Beyond them the last are dropped and counted; one deliverer is enough for all."""
    monkeypatch.setattr(subscriptions, "MOST_WAITING", 5)
    lost: Counter[str] = Counter()
    subscribers = Subscribers(lambda *_: None, lambda reason: lost.update([reason]))
    subscription = Subscription("a", lambda topic, message: None, subscribers)
    subscribers.add([subscription])
    post: Any = Post()
    for numbers in (range(3), range(3, 7)):
        subscribers.deliver_all("a", [encode(number) for number in numbers], post, LOG)
    [end] = post.ends
    end()
    assert [decode(one.body) for one in subscription._waiting] == [0, 1, 2, 3, 4]
    assert (len(post.deliverers), lost["slow_handler"], subscription.dropped) == (1, 2, 2)
