"""Groups: the desk with peers that write down, and a worker's part with a channel that is a list."""

from __future__ import annotations

import asyncio
import logging
import threading
from collections import defaultdict
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers

from nodecluster_compat.errors import (
    ArgumentError,
    ChannelClosed,
    ChannelFull,
    FrameError,
    MessageTooLarge,
    NotInCluster,
    WouldBlock,
)
from nodecluster_compat.messages.frames import HEADER
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.group_desk import ALL_OTHERS, GroupDesk
from nodecluster_compat.sharing.groups import Group, Groups
from nodecluster_compat.sharing.verbs import Verbs
from nodecluster_compat.sharing.wire import decode, decode_call, encode, encode_call


class Rig:
    """Peers of which some have joined the group ``g``."""

    def __init__(self, *members: int) -> None:
        self.exchange = Exchange(Timers(), LOG)
        self.desk = GroupDesk(self.exchange)
        self.peers = {number: Peer(number, self.exchange) for number in range(5)}
        for member in members:
            self.peers[member].calls("join", "g")
        self.heard()

    def heard(self) -> dict[int, list[Any]]:
        """Return what each has been sent since the last time: sets of members, and (sender, body)."""
        told: defaultdict[int, list[Any]] = defaultdict(list)
        for number, peer in self.peers.items():
            for verb, arguments in peer.sent:
                told[number].append(set(arguments[1]) if verb == "members" else (arguments[0], arguments[2]))
            peer.sent.clear()
        return dict(told)

    def post(self, sender: int, body: bytes, target: int = ALL_OTHERS, group: str = "g") -> None:
        self.peers[sender].calls("post", [target, group, body])


def test_all_other_members_get_a_post_and_nobody_else() -> None:
    rig = Rig(1, 2, 3)
    rig.peers[4].calls("join", "another")
    assert rig.heard() == {4: [{4}]}
    rig.post(2, b"\0hello")
    assert rig.heard() == {1: [(2, b"\0hello")], 3: [(2, b"\0hello")]}


def test_one_member_gets_what_is_for_it() -> None:
    rig = Rig(1, 2, 3)
    rig.post(2, b"hello", target=3)
    assert rig.heard() == {3: [(2, b"hello")]}


def test_what_is_for_a_worker_that_is_gone_goes_to_all_others() -> None:
    rig = Rig(1, 2, 3)
    rig.exchange.leave(3)
    rig.heard()
    rig.post(2, b"hello", target=3)
    assert rig.heard() == {1: [(2, b"hello")]}


def test_a_worker_posts_nothing_to_itself() -> None:
    rig = Rig(1, 2)
    rig.post(2, b"hello", target=2)
    assert rig.heard() == {}


def test_members_hear_who_comes_and_goes_in_order_with_posts() -> None:
    rig = Rig(1)
    rig.peers[2].calls("join", "g")
    rig.post(2, b"here")
    rig.exchange.leave(2)
    assert rig.heard()[1] == [{1, 2}, (2, b"here"), {1}]
    rig.exchange.leave(4)
    assert (rig.heard(), rig.desk.members("g")) == ({}, [1])
    rig.exchange.leave(1)
    assert rig.desk.members("g") == []


def test_a_member_that_does_not_read_loses_posts_and_hears_of_members(caplog: pytest.LogCaptureFixture) -> None:
    """The others lose nothing, and the log says what happens."""
    rig = Rig(1, 2, 3)
    rig.peers[3].reads = False
    rig.post(1, b"a")
    rig.exchange.leave(2)
    rig.peers[3].reads = True
    rig.post(1, b"b")
    assert rig.heard() == {2: [(1, b"a")], 1: [{1, 3}], 3: [{1, 3}, (1, b"b")]}
    assert rig.exchange.fan_out.missed[3] == 1
    assert [record.getMessage() for record in caplog.records] == [
        "Worker 3 reads too slowly: 1 messages for it were dropped"
    ]


@pytest.mark.parametrize("payload", [None, 7, [], [0, "g"], [0, "g", "text"], ["g", "g", b""]])
def test_what_is_no_post_is_refused(payload: Any) -> None:
    rig = Rig(1, 2)
    with pytest.raises(FrameError):
        rig.peers[1].calls("post", payload)
    assert rig.heard() == {}


def test_a_worker_posts_only_to_groups_in_which_it_takes_part() -> None:
    rig = Rig(1, 2)
    with pytest.raises(FrameError, match="takes no part"):
        rig.post(3, b"x")
    with pytest.raises(FrameError, match="takes no part"):
        rig.post(1, b"x", group="other")
    assert rig.heard() == {}


def test_a_worker_joins_a_bounded_number_of_groups() -> None:
    rig = Rig()
    for number in range(64):
        rig.peers[1].calls("join", str(number))
    with pytest.raises(FrameError, match="more than 64 groups"):
        rig.peers[1].calls("join", "one more")
    rig.peers[2].calls("join", "one more")


@pytest.mark.parametrize("name", ["", "x" * 256, "ä" * 128])
def test_a_group_has_a_name_of_bounded_length(name: str) -> None:
    with pytest.raises(FrameError, match="1 to 255 bytes"):
        Rig().peers[1].calls("join", name)


# --- in a worker -------------------------------------------------------------------------------


class Member:
    """A worker whose channel is a list."""

    id = 2
    max_message_bytes = 1000

    def __init__(self) -> None:
        self.runtime: Any = None
        self.is_pressed = False
        self.frames: list[tuple[str, Any]] = []
        self.callbacks: list[Callable[[Any], None]] = []
        self.paused: list[object] = []

    def post_frame(self, frame: bytes, callback: Callable[[Any], None]) -> None:
        number, verb, body = decode_call(frame[HEADER.size :])
        assert number == 0
        self.frames.append((verb, decode(body)))
        self.callbacks.append(callback)

    def call(self, verb: str, body: bytes, done: object) -> None:
        assert done is None
        self.frames.append((verb, decode(body)))

    def pause_reading(self, who: object) -> None:
        self.paused.append(who)

    def resume_reading(self, who: object) -> None:
        self.paused.remove(who)


class Runtime:
    """Waits at once; ``waits`` is how often that was."""

    def __init__(self, member: Member, may_wait: bool = True) -> None:
        self.lock = threading.RLock()
        self.waits = 0
        self._member = member
        self._may_wait = may_wait

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        if not self._may_wait:
            raise WouldBlock("not here")
        ended: list[bool] = []
        begin(lambda: ended.append(True))
        self.waits += 1
        self._member.callbacks[-1](None)
        assert ended == [True]

    async def waiting(self, begin: Callable[[Callable[[], None]], None]) -> None:
        self.wait(begin)


class Worker:
    """This worker's groups, and what its member of ``g`` has heard."""

    def __init__(self, *, runs: bool = True, may_wait: bool = True) -> None:
        self.member = Member()
        self.verbs = Verbs()
        self.groups = Groups(SimpleNamespace(member=self.member, side=self.member, log=logging.getLogger()), self.verbs)
        self.posts: list[tuple[int, bytes]] = []
        self.told: list[set[int]] = []
        if runs:
            self.member.runtime = Runtime(self.member, may_wait)
        self.group = self.join("g")

    def join(self, name: str) -> Group:
        return self.groups.join(
            name,
            lambda sender, body: self.posts.append((sender, body)),
            lambda members: self.told.append(set(members)),
        )

    def hears(self, verb: str, arguments: Any) -> None:
        self.verbs.call(self.member, verb, encode(arguments), None)  # type: ignore[arg-type]


def test_a_worker_posts_to_all_or_to_one_also_before_it_runs() -> None:
    worker = Worker(runs=False)
    worker.member.is_pressed = True
    worker.group.post(b"\0a")
    worker.member.runtime = Runtime(worker.member)
    worker.member.is_pressed = False
    worker.group.post(b"b", 7)
    asyncio.run(worker.group.post_async(b"c"))
    assert worker.member.frames == [
        ("join", "g"),
        ("post", [0, "g", b"\0a"]),
        ("post", [7, "g", b"b"]),
        ("post", [0, "g", b"c"]),
    ]
    assert worker.member.runtime.waits == 0


def test_whoever_posts_waits_while_much_waits_already() -> None:
    worker = Worker()
    worker.member.is_pressed = True
    worker.group.post(b"a")
    asyncio.run(worker.group.post_async(b"b"))
    assert worker.member.runtime.waits == 2
    assert len(worker.member.frames) == 3


def test_whoever_holds_a_lock_posts_and_waits_later() -> None:
    """Until it is written, also where that was meanwhile, and not at all where little waits."""
    worker = Worker()
    assert worker.group.begin_post(b"a") is None
    worker.member.is_pressed = True
    posted = worker.group.begin_post(b"b")
    assert posted is not None
    assert worker.member.runtime.waits == 0
    done: list[str] = []
    posted.call_when_written(lambda: done.append("waited"))
    assert done == []
    worker.member.callbacks[-1](None)
    posted.call_when_written(lambda: done.append("at once"))
    assert done == ["waited", "at once"]


def test_whoever_must_not_wait_posts_all_the_same() -> None:
    worker = Worker(may_wait=False)
    worker.member.is_pressed = True
    worker.group.post(b"a")
    assert worker.member.frames == [("join", "g"), ("post", [0, "g", b"a"])]


def test_the_log_says_what_was_not_sent_unless_the_worker_ends(caplog: pytest.LogCaptureFixture) -> None:
    worker = Worker()
    worker.group.post(b"a")
    for outcome in (None, ChannelFull("full"), ChannelClosed("closed")):
        worker.member.callbacks[0](outcome)
    assert [record.getMessage() for record in caplog.records] == [
        "What this worker posted to others was not sent: full"
    ]


def test_a_post_has_a_bound_that_leaves_room_for_the_longest_id_of_a_sender() -> None:
    worker = Worker()
    with pytest.raises(MessageTooLarge, match="at most 1000 bytes"):
        worker.group.post(b"x" * 1000)
    size = next(size for size in range(1000, 0, -1) if fits(worker, size))
    verb, post = worker.member.frames[-1]
    forwarded = encode_call(0, verb, encode([2**32 - 1, *post[1:]]))
    assert size > 950
    assert len(forwarded) - HEADER.size <= 1000
    for nobody in (-1, 2**32):
        with pytest.raises(ArgumentError, match="the id of a worker"):
            worker.group.post(b"", nobody)


def fits(worker: Worker, size: int) -> bool:
    try:
        worker.group.post(b"x" * size)
    except MessageTooLarge:
        return False
    return True


def test_a_worker_hears_posts_and_who_the_others_are() -> None:
    worker = Worker()
    worker.hears("members", ["g", [1, 2, 3]])
    worker.hears("post", [3, "g", b"\0"])
    worker.hears("members", ["g", [1, 2]])
    for verb, arguments in (("post", [3, "unknown", b"x"]), ("members", ["unknown", [9]])):
        worker.hears(verb, arguments)
    assert (worker.posts, worker.told, worker.group.members) == ([(3, b"\0")], [{1, 3}, {1}], {1})


@pytest.mark.parametrize(("number", "size"), [(4096, 1), (4, 1024 * 1024 - 100)])
def test_reading_pauses_while_much_was_read_and_not_taken(number: int, size: int) -> None:
    """By number and by bytes; until all was taken."""
    worker = Worker()
    body = b"x" * size
    for _ in range(number):
        assert worker.member.paused == []
        worker.hears("post", [3, "g", body])
    if size > 1:
        worker.hears("post", [3, "g", body])
    assert worker.member.paused == [worker.groups]
    for _ in worker.posts[1:]:
        worker.group.took(body)
    assert worker.member.paused == [worker.groups]
    worker.group.took(body)
    assert worker.member.paused == []


def test_a_group_is_joined_once_in_each_process_and_by_workers_only() -> None:
    worker = Worker()
    with pytest.raises(ArgumentError, match="takes no part yet"):
        worker.join("g")
    for name in ("", "ä" * 128):
        with pytest.raises(ArgumentError, match="1 to 255 bytes"):
            worker.join(name)
    for number in range(63):
        worker.join(f"g{number}")
    with pytest.raises(ArgumentError, match="no more than 64 groups"):
        worker.join("one more")
    assert len(worker.member.frames) == 64
    worker.groups.abandon()
    worker.join("g")
    with pytest.raises(NotInCluster, match="expected a worker"):
        Groups(SimpleNamespace(member=None), Verbs()).join("g", print, print)  # type: ignore[arg-type]
