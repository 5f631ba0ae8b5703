from __future__ import annotations

import struct
from collections import defaultdict

import pytest

from nodecluster_compat.errors import ArgumentError, FrameError, MessageTooLarge
from nodecluster_compat.messages.exchange_payloads import (
    Post,
    checked_topic,
    decode_members,
    decode_post,
    encode_join,
    encode_post,
)
from nodecluster_compat.messages.frames import Frame, FrameDecoder, FrameKind
from nodecluster_compat.roles.exchange import MOST_WAITING_BYTES, Exchange


def frame_of(encoded: bytes) -> Frame:
    [frame] = FrameDecoder().feed(encoded)
    return frame


class Log:
    def __init__(self) -> None:
        self.warnings: list[str] = []

    def warning(self, text: str, *args: object) -> None:
        self.warnings.append(text % args)

    def __getattr__(self, name: str) -> None:
        raise AssertionError(f"nobody expected log.{name}")


class Rig:
    def __init__(self, *members: int) -> None:
        self.log = Log()
        self.full: set[int] = set()
        self.heard: defaultdict[int, list[object]] = defaultdict(list)
        self.exchange = Exchange(self.send, self.log)  # type: ignore[arg-type]
        for member in members:
            self.join(member)
        self.heard.clear()

    def send(self, worker_id: int, encoded: bytes, bound: int | None) -> bool:
        frame = frame_of(encoded)
        if frame.kind is FrameKind.MEMBERS:
            assert bound is None
            self.heard[worker_id].append(set(decode_members(frame.payload)[1]))
        else:
            assert frame.kind is FrameKind.POSTED
            assert bound == MOST_WAITING_BYTES
            if worker_id in self.full:
                return False
            post = decode_post(frame.payload)
            self.heard[worker_id].append((post.peer, post.body))
        return True

    def join(self, worker_id: int, topic: bytes = b"t") -> None:
        self.exchange.join(worker_id, frame_of(encode_join(topic)))

    def post(self, worker_id: int, body: bytes, target: int = 0, topic: bytes = b"t") -> None:
        self.exchange.post(worker_id, frame_of(encode_post(target, topic, body, 10_000)))


def test_all_other_members_get_a_post_and_nobody_else() -> None:
    rig = Rig(1, 2, 3)
    rig.join(4, b"another")
    rig.heard.clear()
    rig.post(2, b"hello")
    assert rig.heard == {1: [(2, b"hello")], 3: [(2, b"hello")]}


def test_one_member_gets_what_is_for_it() -> None:
    rig = Rig(1, 2, 3)
    rig.post(2, b"hello", target=3)
    assert rig.heard == {3: [(2, b"hello")]}


def test_what_is_for_a_worker_that_is_gone_goes_to_all_others() -> None:
    rig = Rig(1, 2, 3)
    rig.exchange.leave(3)
    rig.heard.clear()
    rig.post(2, b"hello", target=3)
    assert rig.heard == {1: [(2, b"hello")]}


def test_a_worker_posts_nothing_to_itself() -> None:
    rig = Rig(1, 2)
    rig.post(2, b"hello", target=2)
    assert rig.heard == {}


def test_members_hear_who_comes_and_goes_in_order_with_posts() -> None:
    rig = Rig(1)
    rig.join(2)
    rig.post(2, b"here")
    rig.exchange.leave(2)
    assert rig.heard[1] == [{1, 2}, (2, b"here"), {1}]
    rig.exchange.leave(1)
    assert rig.exchange.members(b"t") == frozenset()


def test_a_member_that_does_not_read_loses_posts_and_two_warnings_say_so() -> None:
    rig = Rig(1, 2, 3)
    rig.full = {3}
    rig.post(1, b"a")
    rig.post(1, b"b")
    rig.full = set()
    rig.post(1, b"c")
    assert rig.heard == {2: [(1, b"a"), (1, b"b"), (1, b"c")], 3: [(1, b"c")]}
    assert [line.split(":")[0] for line in rig.log.warnings] == [
        f"Worker 3 does not read what other workers post, and {MOST_WAITING_BYTES} bytes wait for it",
        "Worker 3 reads again; 2 posts of other workers were dropped",
    ]


@pytest.mark.parametrize("payload", [b"", b"\0\0\0\0", b"\0\0\0\0\0", b"\0\0\0\0\5t", struct.pack("!IB", 1, 0) + b"x"])
def test_what_is_no_post_is_refused(payload: bytes) -> None:
    rig = Rig(1, 2)
    with pytest.raises(FrameError, match="names no topic"):
        rig.exchange.post(1, Frame(FrameKind.POST, payload))
    assert rig.heard == {}


def test_a_worker_posts_only_to_topics_in_which_it_takes_part() -> None:
    rig = Rig(1, 2)
    with pytest.raises(FrameError, match="takes no part"):
        rig.post(3, b"x")
    with pytest.raises(FrameError, match="takes no part"):
        rig.post(1, b"x", topic=b"other")
    assert rig.heard == {}


def test_a_worker_joins_a_bounded_number_of_topics() -> None:
    rig = Rig()
    for number in range(64):
        rig.join(1, b"%d" % number)
    with pytest.raises(FrameError, match="more than 64 topics"):
        rig.join(1, b"one more")
    rig.join(2, b"one more")


@pytest.mark.parametrize("payload", [b"", b"x" * 256])
def test_what_is_no_topic_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError, match="a topic of 1 to 255 bytes"):
        Rig().exchange.join(1, Frame(FrameKind.JOIN, payload))


@pytest.mark.parametrize("payload", [b"", b"\0", b"\1t123", b"\5t", b"\0\0\0\0\1"])
def test_what_names_no_members_is_refused(payload: bytes) -> None:
    with pytest.raises(FrameError, match="no members"):
        decode_members(payload)


@pytest.mark.parametrize("name", ["", "ä" * 128])
def test_a_topic_has_a_name_of_bounded_length(name: str) -> None:
    with pytest.raises(ArgumentError, match="a topic of 1 to 255 bytes"):
        checked_topic(name)


def test_a_post_keeps_its_body_and_has_a_bound() -> None:
    frame = frame_of(encode_post(7, b"topic", b"\0body", 100))
    assert decode_post(frame.payload) == Post(7, b"topic", b"\0body")
    with pytest.raises(MessageTooLarge, match="the limit is 12"):
        encode_post(7, b"topic", b"body", 12)
    with pytest.raises(ArgumentError, match="the id of a worker"):
        encode_post(-1, b"topic", b"body", 100)
