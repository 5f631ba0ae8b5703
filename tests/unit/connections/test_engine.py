"""The engine with real channels and clients, workers played by hand, and its loop turned by hand."""

from __future__ import annotations

import _socket
import os
import socket

import pytest
from engine_rig import EngineRig as Rig

from nodecluster_compat.connections.kernel_check import kernel_tells_what_was_taken
from nodecluster_compat.connections.packets import PacketKind, encode_packet


def test_this_kernel_tells_what_was_taken() -> None:
    assert kernel_tells_what_was_taken()


def test_connections_go_round(rig: Rig) -> None:
    """Each worker gets one, then each the next, in the order in which they took them."""
    workers = [rig.worker() for _ in range(3)]
    for worker in (*workers, *workers):
        rig.connect()
        assert [one.has_offer() for one in workers] == [one is worker for one in workers]
        worker.take()


def test_order_is_that_in_which_they_began_to_serve(rig: Rig) -> None:
    """Not that in which they were forked: the kernel tells at once of a channel that is new."""
    first, second, third = (rig.enrolled() for _ in range(3))
    in_turn = [third, first, second]
    for worker in in_turn:
        rig.engine.join(worker.id, rig.listener_ids[0])
    for worker in (*in_turn, *in_turn):
        rig.connect()
        assert [one.has_offer() for one in in_turn] == [one is worker for one in in_turn]
        worker.take()


def test_worker_that_is_busy_gets_no_second_offer(rig: Rig) -> None:
    """Others do, and then it waits, and the primary says how much."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    rig.connect()
    rig.connect()
    assert rig.waiting() == 1
    assert rig.engine.unsettled(rig.listener_ids[0]) == 3
    second.take()
    rig.turn()
    assert second.has_offer()
    assert rig.engine.unsettled(rig.listener_ids[0]) == 2
    second.take()
    first.take()
    rig.turn()
    assert rig.engine.unsettled(rig.listener_ids[0]) == 0
    assert not first.has_offer()


def test_listener_at_its_bound_goes_on_when_somebody_takes(rig: Rig) -> None:
    """The kernel's backlog holds the rest meanwhile."""
    worker = rig.worker()
    for _ in range(8):
        rig.connect()
    assert (rig.waiting(), rig.engine.listeners[rig.listener_ids[0]].is_watching) == (4, False)
    for _ in range(8):
        worker.take()
        rig.turn()
    assert len(worker.has) == 8
    assert (rig.waiting(), rig.engine.listeners[rig.listener_ids[0]].is_watching) == (0, True)


def test_primary_keeps_no_copy_of_what_it_has_offered(rig: Rig) -> None:
    """The end of the connection is the worker's to make."""
    worker = rig.worker()
    rig.connect()
    worker.take()
    os.close(worker.has.pop())
    rig.clients[0].settimeout(10)
    assert rig.clients[0].recv(1) == b""


def test_offers_of_a_lost_worker_go_to_another(rig: Rig) -> None:
    """What it had taken is gone with it; what it had not is served first."""
    first = rig.worker()
    rig.connect()
    rig.connect()
    rig.engine.lost(first.id)
    second = rig.worker()
    assert second.has_offer()
    port = rig.clients[0].getsockname()[1]
    second.take()
    with socket.socket(fileno=os.dup(second.has[0])) as client:
        assert client.getpeername()[1] == port
    rig.turn()
    assert second.has_offer()


def test_worker_that_leaves_is_asked_no_more(rig: Rig) -> None:
    """What lay in its channel goes to another, and the arbiter is told."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    first.say(PacketKind.LEAVE)
    first.sock.shutdown(_socket.SHUT_RDWR)
    rig.turn()
    assert rig.left == [first.id]
    assert second.has_offer()
    rig.connect()
    assert rig.waiting() == 1
    rig.engine.join(first.id, rig.listener_ids[0])
    assert rig.waiting() == 1
    assert rig.closed == []


def test_worker_that_leaves_while_others_are_looked_at_keeps_no_offer(rig: Rig) -> None:
    """That its end is shut is no sign that it has taken what lies there."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    rig.connect()
    second.take()
    first.say(PacketKind.LEAVE)
    first.sock.shutdown(_socket.SHUT_RDWR)
    assert rig.engine.unsettled(rig.listener_ids[0]) == 1 + rig.asks  # whose answer is not read yet
    rig.turn()
    assert rig.engine.unsettled(rig.listener_ids[0]) == 1
    assert second.has_offer()


@pytest.mark.parametrize("garbage", [b"", b"nonsense", encode_packet(PacketKind.OFFER, 1)])
def test_channel_that_breaks_is_closed_and_told(rig: Rig, garbage: bytes) -> None:
    """What was offered over it goes to another."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    if garbage:
        first.sock.send(garbage)
    else:
        first.sock.shutdown(_socket.SHUT_RDWR)
    rig.turn()
    assert rig.closed == [(first.id, bool(garbage))]
    assert second.has_offer()


def test_refused_connection_goes_to_another_and_the_refuser_is_not_asked(rig: Rig) -> None:
    """Before it has room (difference D2)."""
    first, second = rig.worker(), rig.worker()
    rig.connect()
    listener_id = first.take()
    rig.turn()
    first.give_back(listener_id)
    rig.turn()
    second.take()
    rig.connect()
    second.take()
    rig.connect()
    assert not first.has_offer()
    second.take()
    rig.connect()
    rig.connect()
    assert rig.waiting() == 1
    first.say(PacketKind.ROOM, listener_id)
    rig.turn()
    assert first.has_offer()


def test_worker_of_two_listeners_has_one_offer_at_a_time(rig: Rig) -> None:
    """Whichever socket it came from; the other one waits."""
    worker = rig.worker(0, 1)
    rig.connect(0)
    rig.connect(1)
    assert (rig.waiting(0), rig.waiting(1)) == (0, 1)
    assert worker.take() == rig.listener_ids[0]
    rig.turn()
    assert worker.take() == rig.listener_ids[1]


def test_listener_that_always_has_somebody_leaves_room_for_the_other(rig: Rig) -> None:
    worker = rig.worker(0, 1)
    for number in (0, 0, 0, 1):
        rig.connect(number)
    seen = []
    for _ in range(4):
        seen.append(worker.take())
        rig.turn()
    assert seen.index(rig.listener_ids[1]) < 3


def test_connection_given_back_for_a_closed_server_is_closed(rig: Rig) -> None:
    """Nobody serves it any more; the client sees the end."""
    worker = rig.worker()
    rig.connect()
    listener_id = worker.take()
    rig.engine.listeners.remove(listener_id)
    rig.listener_ids.remove(listener_id)
    worker.give_back(listener_id)
    rig.turn()
    rig.clients[0].settimeout(10)
    assert rig.clients[0].recv(1) == b""


@pytest.mark.parametrize("kind", [socket.SOCK_DGRAM, None], ids=["datagrams", "a pipe"])
def test_descriptor_that_is_no_connection_ends_its_worker_and_not_the_dealer(rig: Rig, kind: int | None) -> None:
    first, second = rig.worker(), rig.worker()
    if kind is None:
        fd, other = os.pipe()
        os.close(other)
    else:
        fd = socket.socket(socket.AF_INET, kind).detach()
    socket.send_fds(first.sock, [encode_packet(PacketKind.REFUSED, rig.listener_ids[0])], [fd])
    os.close(fd)
    rig.turn()
    assert rig.closed == [(first.id, True)]
    rig.connect()
    assert second.has_offer()


@pytest.mark.parametrize("rig", ["edges", "edges in Python"], indirect=True)
def test_connection_at_which_a_look_fails_is_closed(rig: Rig) -> None:
    """It is nobody's yet, and its client would wait for ever."""
    first, _ = rig.worker(), rig.worker()

    def look(_: bytes) -> int:
        raise LookupError("a fault of ours")

    rig.engine.listeners.look = look
    first.say(PacketKind.LOOK)
    rig.turn()
    rig.reach(0)
    client = rig.clients[-1]
    client.send(b"GET")
    with pytest.raises(LookupError, match="a fault of ours"):
        rig.turn()
    client.settimeout(20.0)
    with pytest.raises(ConnectionResetError):  # it was closed with what had come
        client.recv(1)
