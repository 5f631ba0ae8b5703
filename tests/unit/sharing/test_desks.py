"""The desks in the primary: locks with leases and time-outs, what runs once, the leader; with peers that write down."""

from __future__ import annotations

from typing import Any

import pytest
from exchange_peers import LOG, Peer, Timers
from msgspec import Raw

from nodecluster_compat.errors import FrameError, StoreUnavailable
from nodecluster_compat.sharing import once_desk
from nodecluster_compat.sharing.exchange import Exchange
from nodecluster_compat.sharing.gathering import Gathering
from nodecluster_compat.sharing.leader_desk import LeaderDesk
from nodecluster_compat.sharing.lock_desk import LockDesk
from nodecluster_compat.sharing.once_desk import OnceDesk
from nodecluster_compat.sharing.outcomes import Answer, Failure, Gathered, fitting, size_of
from nodecluster_compat.sharing.remote_desk import GRACE_SECONDS, RemoteDesk
from nodecluster_compat.sharing.wire import decode


class Folder:
    """What two primaries share; ``elsewhere`` are the names of the other one, ``broken`` is a full disk."""

    def __init__(self) -> None:
        self.elsewhere: set[str] = set()
        self.marks: set[str] = set()
        self.broken = False

    def take(self, name: str) -> bool:
        if self.broken:
            raise StoreUnavailable("no folder")
        return name not in self.elsewhere

    def give_back(self, name: str) -> None:
        pass

    def mark(self, name: str) -> None:
        if self.broken:
            raise StoreUnavailable("no room")
        self.marks.add(name)

    def is_marked(self, name: str) -> bool:
        return name in self.marks


class Rig:
    def __init__(self) -> None:
        self.timers = Timers()
        self.exchange = Exchange(self.timers, LOG)
        self.folder = Folder()
        self.now = 0.0
        self.desk = LockDesk(self.exchange, 100, self.folder, clock=lambda: self.now)
        self.far = RemoteDesk(self.exchange, self.desk)
        OnceDesk(self.exchange, self.folder)
        LeaderDesk(self.exchange, 100, self.folder, clock=lambda: self.now)
        self.peers = [Peer(number, self.exchange) for number in range(4)]

    def listen(self, *peers: Peer) -> None:
        for peer in peers:
            self.exchange.tell("listening", peer.id)

    def end(self, peer: Peer) -> None:
        self.exchange.leave(peer.id)
        self.exchange.tell("ended", peer.id)

    def fire(self, seconds: float) -> None:
        for at, timer in list(self.timers.set):
            if at == seconds and not timer.cancelled:
                timer.cancelled = True
                timer.callback()


def values(peer: Peer) -> list[Any]:
    return [decode(body) if is_done else decode(body, Failure).cause for _, is_done, body in peer.given]


def test_a_lock_waits_no_longer_than_it_should() -> None:
    """And is given on after its time-out all the same."""
    rig = Rig()
    _, first, second, third = rig.peers
    for number, (peer, timeout) in enumerate(((first, None), (second, 5.0), (third, 60.0)), 1):
        peer.calls("lock", ["x", 1, None, timeout], number=number)
    rig.fire(5.0)
    assert (values(first), values(second), values(third)) == ([101], ["held"], [])
    first.calls("unlock", ["x", 101], number=9)
    first.calls("unlock", ["x", 101], number=10)
    assert (values(first), values(third)) == ([101, None, "lost"], [102])


def test_a_lease_begins_when_the_lock_is_given() -> None:
    """However long its holder has waited for it; and it ends for the holder no later than for the primary."""
    rig = Rig()
    _, first, second, _ = rig.peers
    rig.now = 7.0
    first.calls("lock", ["x", 1, 3.0, None], number=1)
    second.calls("lock", ["x", 1, 3.0, None], number=1)
    rig.now = 10.0
    rig.fire(3.0)
    assert (values(first), values(second)) == ([[101, 10.0]], [[102, 13.0]])


def test_a_lease_ends() -> None:
    """The next one has it, and who had it is told."""
    rig = Rig()
    _, first, second, _ = rig.peers
    first.calls("lock", ["x", 1, 3.0, None], number=1)
    second.calls("lock", ["x", 1, None, None], number=1)
    rig.fire(3.0)
    assert first.sent == [("lapsed", ["x", 101])]
    assert rig.exchange._asking._asked == {}  # nobody answers that
    assert values(second) == [102]


def test_a_lock_ends_with_its_holders_process_and_not_before() -> None:
    """A worker that has lost its channel may be at work still."""
    rig = Rig()
    _, first, second, _ = rig.peers
    first.calls("lock", ["x", 1, None, None], number=1)
    second.calls("lock", ["x", 1, None, None], number=1)
    rig.exchange.leave(first.id)
    assert values(second) == []
    rig.exchange.tell("ended", first.id)
    assert values(second) == [102]


def test_a_lock_of_another_primary_is_awaited() -> None:
    """Asked for again until that one has ended; without a folder to meet in, this primary alone must do."""
    rig = Rig()
    first = rig.peers[1]
    rig.folder.elsewhere.add("lock:0:x")
    first.calls("lock", ["x", 1, None, None], number=1)
    rig.fire(0.05)
    assert values(first) == []
    rig.folder.elsewhere.clear()
    rig.fire(0.05)
    assert values(first) == [101]
    rig.folder.broken = True
    first.calls("lock", ["y", 1, None, None], number=2)
    assert values(first) == [101, 102]


@pytest.mark.parametrize(
    "wish",
    [["", 1, None, None], ["x" * 256, 1, None, None], ["x", 0, None, None], ["x", 1, -1, None], ["x", 1, None, -1]],
)
def test_a_lock_that_cannot_be(wish: list[Any]) -> None:
    """Closes the channel of the worker, whose side would have refused it."""
    with pytest.raises(FrameError):
        Rig().peers[1].calls("lock", wish, number=1)


def test_once() -> None:
    """In the first that serves; in another if that ends before it is done; never again afterwards."""
    rig = Rig()
    _, first, second, third = rig.peers
    for peer in (first, second):
        peer.calls("once", "warm", number=1)
    assert values(first) + values(second) == []
    rig.listen(second)
    assert (values(first), values(second)) == ([], [True])
    first.calls("once done", "warm")
    rig.listen(first, third)
    rig.end(second)
    assert values(first) == [True]
    first.calls("once done", "warm")
    third.calls("once", "warm", number=1)
    assert values(third) == [False]
    assert rig.folder.marks == {"once:warm"}
    with pytest.raises(FrameError):
        third.calls("once", "", number=2)


def test_as_many_keys_have_run_once_as_there_may_be(monkeypatch: pytest.MonkeyPatch) -> None:
    """Any further one is refused, and nobody's channel is closed for it."""
    monkeypatch.setattr(once_desk, "_MOST_KEYS", 2)
    rig = Rig()
    _, first, second, _ = rig.peers
    rig.listen(first, second)
    first.calls("once", "a", number=1)
    first.calls("once done", "a")
    first.calls("once", "b", number=2)
    second.calls("once", "c", number=1)
    second.calls("once", "a", number=2)
    [(_, is_done, reason), _] = second.given
    assert (values(first), is_done, values(second)[1]) == ([True, True], False, False)
    assert "2 keys" in str(reason)


def test_once_in_two_primaries() -> None:
    """What runs in the other one is waited for; its mark says that it has run."""
    rig = Rig()
    first = rig.peers[1]
    rig.listen(first)
    rig.folder.elsewhere.add("once:warm")
    first.calls("once", "warm", number=1)
    rig.fire(0.1)
    assert values(first) == []
    rig.folder.marks.add("once:warm")
    rig.fire(0.1)
    assert values(first) == [False]
    rig.folder.broken = True
    first.calls("once", "other", number=2)
    assert values(first) == [False, True]
    first.calls("once done", "other")


def test_the_leader_is_told_when_its_jobs_ran_last() -> None:
    """So a change of leaders neither doubles a run nor puts it off."""
    rig = Rig()
    _, first, second, _ = rig.peers
    for peer in (first, second):
        peer.calls("stand", ["tick"])
    rig.now = 5.0
    rig.listen(first, second)
    assert [(verb, what) for _, verb, what in first.asked] == [("lead", [101, {"tick": 5.0}])]
    rig.now = 7.0
    second.calls("ran", "tick")
    first.calls("ran", "tick")
    rig.now = 8.0
    rig.exchange.tell("leaving", first.id)
    assert first.asked[-1][1] == "resign"
    assert second.asked == []
    first.returns(first.asked[-1][0], None)
    assert [(verb, what) for _, verb, what in second.asked] == [("lead", [102, {"tick": 1.0}])]


def test_a_leader_without_a_channel_leads_until_its_process_has_ended() -> None:
    """It may be at work still."""
    rig = Rig()
    _, first, second, _ = rig.peers
    for peer in (first, second):
        peer.calls("stand", [])
    rig.listen(first, second)
    rig.exchange.tell("leaving", first.id)
    rig.exchange.leave(first.id)
    assert second.asked == []
    rig.exchange.tell("ended", first.id)
    assert second.asked[0][1] == "lead"


def test_a_leader_that_cannot_be_told_is_passed_over() -> None:
    """So much waits for it that nothing more is taken: another one leads, and nobody waits for its end."""
    rig = Rig()
    _, first, second, third = rig.peers
    for peer in (first, second, third):
        peer.calls("stand", [])
    rig.listen(first)
    rig.listen(second, third)
    third.reads = False
    rig.end(first)
    rig.fire(0.1)
    assert [(verb, what[0]) for _, verb, what in second.asked] == [("lead", 103)]
    second.reads, third.reads = False, True
    rig.exchange.tell("leaving", second.id)
    assert third.asked == []
    second.reads = True
    rig.fire(0.1)
    assert second.asked[-1][1] == "resign"
    second.returns(second.asked[-1][0], None)
    assert [(verb, what[0]) for _, verb, what in third.asked] == [("lead", 104)]


def test_a_place_that_is_held_on_a_server_too() -> None:
    """Its lease begins when the worker says so; whoever carries is told what an ended one had."""
    rig = Rig()
    _, first, second, third = rig.peers
    first.calls("lock", ["x", 2, None, None, True], number=1)
    second.calls("lock", ["x", 2, None, None, True], number=2)
    assert (values(first), values(second)) == ([[101, 0]], [[102, 1]])
    first.calls("lease", ["x", 101, 5.0])
    first.calls("lease", ["x", 102, 7.0])  # somebody else's
    assert [seconds for seconds, _ in rig.timers.set] == [5.0]
    first.calls("unlock", ["x", 101], number=3)
    assert [timer.cancelled for _, timer in rig.timers.set] == [True]
    rig.end(second)
    assert third.asked == []
    third.calls("carrier", True)
    assert [(verb, told) for _, verb, told in third.asked] == [("let go", ["x", 2, 1, 102])]
    rig.end(third)
    assert rig.far.carrier is None
    first.calls("carrier", True)
    assert first.asked[-1][1:] == ("let go", ["x", 2, 1, 102])
    first.calls("carrier", False)
    assert rig.far.carrier is None
    with pytest.raises(FrameError):
        first.calls("lease", ["x", 101, -1.0])


def test_leases_are_forgotten_with_their_locks() -> None:
    """However often a lock with a lease is held and released, nothing is kept of it."""
    rig = Rig()
    peer = rig.peers[1]
    for number in range(3):
        peer.calls("lock", ["x", 1, 60.0, None], number=number + 1)
        peer.calls("unlock", ["x", 101 + number])
    assert (rig.desk._leases, len(rig.desk.table)) == ({}, 0)
    assert all(timer.cancelled for _, timer in rig.timers.set)


def test_a_request_to_all_hosts_ends_although_the_worker_that_reaches_them_is_silent() -> None:
    """A moment behind its time, so that what is heard of others by then is not lost; without a time it waits."""
    rig = Rig()
    _, carrier, other, third = rig.peers
    carrier.calls("carrier", True)
    third.calls("ask all hosts", ["topic", "asked", b"", 2.0], number=1)
    third.calls("ask all hosts", ["topic", "asked", b"", None], number=2)
    assert [verb for _, verb, _ in carrier.asked] == ["ask hosts", "ask hosts"]
    assert third.given == []
    rig.fire(2.0 + 2 * GRACE_SECONDS)
    assert third.outcome() == ({}, {0: "late"})
    carrier.returns(carrier.asked[0][0], [[], []])
    assert len(third.given) == 1
    rig.exchange.leave(other.id)
    assert [timer for _, timer in rig.timers.set if not timer.cancelled] == []


def test_other_hosts_are_missing_while_nobody_reaches_them() -> None:
    """From the start until one leads, and after the death of the one that did; a host alone misses nobody."""
    rig = Rig()
    asking, other, third = rig.peers[1:]
    asking.calls("ask all hosts", ["topic", "asked", b"", 2.0], number=1)
    assert asking.outcome() == ({}, {})
    asking.given.clear()
    rig.exchange.fan_out.has_hosts = True
    asking.calls("ask all hosts", ["topic", "asked", b"", 2.0], number=2)
    [(_, is_done, body)] = asking.given
    [missing] = decode(body, Gathered).missing
    assert (is_done, missing.worker, missing.cause, missing.host) == (True, 0, "failed", "")
    asking.given.clear()
    other.calls("carrier", True)
    rig.end(other)
    third.calls("ask all hosts", ["topic", "asked", b"", 2.0], number=3)
    assert third.outcome() == ({}, {0: "failed"})


def test_answers_that_are_too_large_together_lose_no_others() -> None:
    """On one host each that still fits is there; of two hosts as well; why somebody failed is cut."""
    came: list[Gathered] = []
    size = size_of(b"x" * 100)
    gathering = Gathering([1, 2, 3, 4], came.append, most=2 * size)
    for worker in (1, 2, 3):
        gathering.answered(worker, b"x" * (101 if worker == 2 else 100))
    gathering.answered(2, b"y")
    gathering.failed(4, Failure("failed", "why " * 10_000))
    [one] = came
    assert [answer.worker for answer in one.answers] == [1, 3]
    assert [(gone.worker, gone.cause, len(gone.reason) < 5000) for gone in one.missing] == [
        (2, "large", True),
        (4, "failed", True),
    ]
    far = Gathered([Answer(worker, Raw(b"x" * worker), "far") for worker in (100, 3, 2)], [])
    some = fitting(far, size_of(b"xxxxx", "far") + size_of(b"", "far"))
    assert [answer.worker for answer in some.answers] == [3, 2]
    assert [(gone.worker, gone.cause, gone.host) for gone in some.missing] == [(100, "large", "far")]
