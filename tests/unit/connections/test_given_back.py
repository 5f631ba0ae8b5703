"""What workers give back: no more than they were handed, before nobody else, and closed without a wait."""

from __future__ import annotations

import os
import socket
import struct
from collections.abc import Iterator

import pytest
from engine_rig import EngineRig, Played
from manual_clock import ManualClock
from own_descriptors import own_descriptors

from nodecluster_compat.base.native import PYTHON
from nodecluster_compat.connections.kernel_check import kernel_tells_what_was_taken
from nodecluster_compat.connections.packets import PacketKind, encode_packet

LINGER = struct.Struct("ii")
KINDS = pytest.mark.parametrize("kind", [PacketKind.REFUSED, PacketKind.ROUTE])


@pytest.fixture(params=["edges", "edges in Python", "answers"])
def rig(no_leaks: None, request: pytest.FixtureRequest) -> Iterator[EngineRig]:
    kernel_tells_what_was_taken()
    made = EngineRig(request.param == "answers", PYTHON if request.param == "edges in Python" else None)
    made.engine.listeners.remove(made.listener_ids.pop())
    yield made
    made.close()


def serve(rig: EngineRig, worker: Played, times: int) -> None:
    """The worker takes so many connections, one after another."""
    for _ in range(times):
        rig.connect()
        worker.take()
        rig.turn()


def send_back(rig: EngineRig, worker: Played, kind: PacketKind, times: int) -> None:
    """The worker gives back so many copies of a socket that it has made itself."""
    one, two = socket.socketpair()
    with one, two:
        for _ in range(times):
            socket.send_fds(worker.sock, [encode_packet(kind, rig.listener_ids[0])], [one.fileno()])
            rig.turn()


def queued(rig: EngineRig) -> list[object]:
    """The clients that wait, in their order; empty for what a worker has made up."""
    return [one.peer for one in rig.engine.listeners[rig.listener_ids[0]].dispatcher.queue]


@KINDS
def test_worker_that_gives_back_what_it_never_had_loses_its_channel(rig: EngineRig, kind: PacketKind) -> None:
    worker = rig.worker()
    send_back(rig, worker, kind, 1)
    assert rig.closed == [(worker.id, True)]
    assert rig.waiting() == 0


@KINDS
def test_no_more_comes_back_than_was_handed(rig: EngineRig, kind: PacketKind) -> None:
    """Of what a worker has served, it may be giving back all, as far as anybody knows."""
    worker, other = rig.worker(), rig.worker()
    for _ in range(3):
        rig.connect()
        rig.connect()
        worker.take()
        other.take()
        rig.turn()
    send_back(rig, worker, kind, 2)
    assert rig.closed == []
    rig.engine.join(other.id, rig.listener_ids[0])
    while other.has_offer():
        other.take()
        rig.turn()
    with pytest.raises(BrokenPipeError):  # sooner or later: what it is offered again counts as well
        send_back(rig, worker, kind, 10)
    assert rig.closed == [(worker.id, True)]


def test_what_is_made_up_goes_before_nobody(rig: EngineRig) -> None:
    """But a few: a refusal may be under way while the next connection is offered."""
    worker = rig.worker()
    serve(rig, worker, 9)
    rig.connect()  # it lies in the channel
    rig.connect()
    rig.connect()
    send_back(rig, worker, PacketKind.REFUSED, 9)
    names = [peer != "" for peer in queued(rig)]
    assert names.count(True) == 2
    assert names.index(True) <= 3


def test_refused_connections_go_before_those_that_came_later(rig: EngineRig) -> None:
    worker = rig.worker()
    rig.connect()
    worker.take()
    rig.turn()
    rig.connect()
    rig.connect()
    rig.connect()
    later = queued(rig)
    first = rig.clients[0].getsockname()
    worker.give_back(rig.listener_ids[0])
    rig.turn()
    assert queued(rig) == [first, *later]


@KINDS
def test_what_one_worker_gave_back_and_nobody_takes_is_bounded(
    rig: EngineRig, kind: PacketKind, caplog: pytest.LogCaptureFixture
) -> None:
    rig.engine._given_back._most = 2
    worker = rig.worker()
    serve(rig, worker, 6)
    rig.connect()
    before = len(own_descriptors())
    send_back(rig, worker, kind, 6)
    assert rig.closed == []
    assert rig.waiting() == 2
    assert len(own_descriptors()) == before + 2
    is_held = kind is PacketKind.ROUTE and not rig.asks
    assert ("1 connections were closed that worker 1 gave back: 2 others of it wait" in caplog.text) is not is_held


def test_what_is_handed_on_beyond_the_bound_is_read_when_there_is_room(rig: EngineRig, clock: ManualClock) -> None:
    """Nothing of it is closed."""
    if rig.asks:
        pytest.skip("there it is closed: what says that a worker is idle comes by the same channel")
    rig.engine._given_back._most = 2
    worker = rig.worker()
    serve(rig, worker, 6)
    rig.connect()  # so it is busy
    send_back(rig, worker, PacketKind.ROUTE, 6)
    assert rig.waiting() == 2
    late, taken = rig.worker(), 0
    while taken < 6:
        clock.now += 0.004
        rig.turn()
        if late.has_offer():
            late.take()
            taken += 1
    assert rig.closed == []


@KINDS
def test_what_others_have_taken_meanwhile_counts_no_more(rig: EngineRig, kind: PacketKind) -> None:
    rig.engine._given_back._most = 2
    worker, other = rig.worker(), rig.worker()
    for _ in range(6):
        rig.connect()
        rig.connect()
        worker.take()
        other.take()
        rig.turn()
    rig.loop.clock = iter(range(1, 1000)).__next__
    rig.engine._given_back._clock = rig.loop.clock
    worker.say(PacketKind.LEAVE)
    rig.turn()
    for _ in range(6):
        send_back(rig, worker, kind, 1)
        assert other.has_offer()
        if other.sock.recv(512, socket.MSG_PEEK)[:1] == bytes([PacketKind.PROBE]):
            other.take()
            rig.turn()
        other.take()
        rig.turn()
    assert rig.waiting() == 0


def linger(fd: int) -> None:
    with socket.socket(fileno=os.dup(fd)) as sock:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.pack(1, 600))


def may_linger(sock: socket.socket) -> bool:
    is_on, seconds = LINGER.unpack(sock.getsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.size))
    return bool(is_on and seconds)


def test_refused_connection_is_closed_without_a_wait(rig: EngineRig) -> None:
    """Whoever had it has set that ``close`` waits for the client; this looks at the option, not at the time."""
    worker = rig.worker()
    rig.connect()
    listener_id = worker.take()
    rig.turn()
    rig.connect()
    linger(worker.has[-1])
    with socket.socket(fileno=os.dup(worker.has[-1])) as copy:
        worker.give_back(listener_id)
        rig.turn()
        assert rig.waiting() == 1
        assert may_linger(copy)
        other = rig.worker()
        rig.turn()
        assert other.has_offer()
        assert not may_linger(copy)


def test_connection_that_was_peeked_at_is_closed_without_a_wait(rig: EngineRig) -> None:
    """A worker that leaves its offer lying may have a copy all the same."""
    worker, other = rig.worker(), rig.worker()
    rig.connect()
    _, ancillary, _, _ = worker.sock.recvmsg(512, socket.CMSG_SPACE(4), socket.MSG_PEEK)
    (fd,) = struct.unpack("i", ancillary[0][2])
    with socket.socket(fileno=fd) as copy:
        linger(fd)
        rig.engine.lost(worker.id)
        rig.turn()
        assert other.has_offer()
        assert not may_linger(copy)


def test_worker_that_says_again_that_it_leaves_is_heard_once(rig: EngineRig) -> None:
    """Each time would cost the arbiter a whole leave."""
    worker = rig.worker()
    for _ in range(3):
        worker.say(PacketKind.LEAVE)
        rig.turn()
    assert rig.left == [worker.id]


def test_worker_that_never_stops_gets_one_packet_of_each_turn(rig: EngineRig) -> None:
    """So whatever it sends, a client that connects waits for one of its packets and no more."""
    worker, other = rig.worker(), rig.worker()
    rig.connect()
    worker.take()
    heard: list[int] = []
    rig.engine.notices.has_room = lambda end, listener_id: heard.append(listener_id)  # type: ignore[method-assign]
    for _ in range(5):
        worker.say(PacketKind.ROOM, rig.listener_ids[0])
    rig.reach(0)
    while not other.has_offer():
        rig.loop.turn(waits=False)
    assert len(heard) <= 1  # one that answers has said first that it has taken its last
