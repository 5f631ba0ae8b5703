"""Handing a descriptor over: the two ends of the connection channel, and the worker's decision."""

from __future__ import annotations

import _socket
import logging
import os
from collections.abc import Iterator

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.packets import Packet, PacketKind
from nodecluster_compat.connections.receiver import Receiver
from nodecluster_compat.errors import FrameError


class Rig:
    """A primary's end and a worker's receiver on one loop."""

    def __init__(self) -> None:
        self.loop = Loop(logging.getLogger("test"))
        ours, theirs = connection_pair()
        self.answers: list[Packet] = []
        self.closed: list[FrameError | None] = []
        self.taken: list[tuple[int, int]] = []
        self.room = True
        self.left: list[str] = []
        self.gone: list[str] = []
        self.primary = OfferingEnd(ours, self.answers.append, self.closed.append)
        self.primary.attach(self.loop)
        self.receiver = Receiver(
            theirs,
            lambda listener_id, fd: self.taken.append((listener_id, fd)),
            lambda _: self.room,
            lambda: self.left.append("left"),
            lambda: self.gone.append("gone"),
        )
        self.worker_socket = theirs
        self.receiver.start(self.loop)

    def turn(self) -> None:
        for _ in range(10):
            self.loop.run_once(0)

    def offer(self) -> bool:
        reading, writing = os.pipe()
        try:
            return self.primary.offer(5, reading)
        finally:
            os.close(reading)
            os.close(writing)


@pytest.fixture
def rig() -> Iterator[Rig]:
    before = len(os.listdir("/proc/self/fd"))
    made = Rig()
    yield made
    for _, fd in made.taken:
        os.close(fd)
    made.primary.close()
    made.receiver.close()
    made.loop.close()
    assert len(os.listdir("/proc/self/fd")) == before


def test_offer_is_acknowledged_and_taken(rig: Rig) -> None:
    """The descriptor arrives, close-on-exec, with the listener's number, and the answer is ACCEPTED."""
    assert rig.offer()
    rig.turn()
    assert rig.answers == [Packet(PacketKind.ACCEPTED, 5)]
    [(listener_id, fd)] = rig.taken
    assert listener_id == 5
    assert not os.get_inheritable(fd)


def test_full_worker_refuses_and_says_when_it_has_room(rig: Rig) -> None:
    """A refusal keeps no descriptor; ROOM comes once, when there is some."""
    rig.room = False
    rig.offer()
    rig.turn()
    assert rig.answers == [Packet(PacketKind.REFUSED, 5)]
    rig.receiver.room_made()
    rig.room = True
    rig.receiver.room_made()
    rig.receiver.room_made()
    rig.turn()
    assert rig.answers[1:] == [Packet(PacketKind.ROOM, 5)]
    assert rig.taken == []


def test_leaving_worker_refuses_until_the_primary_has_heard(rig: Rig) -> None:
    """Offers that were under way go back; LEFT ends it."""
    rig.offer()
    rig.receiver.stop()
    rig.receiver.stop()
    rig.turn()
    assert rig.answers == [Packet(PacketKind.LEAVE, 0), Packet(PacketKind.REFUSED, 5)]
    assert not rig.receiver.has_left
    rig.primary.confirm_left()
    rig.turn()
    assert rig.receiver.has_left
    assert rig.left == ["left"]


def test_worker_that_fails_to_take_gives_its_channel_up(rig: Rig) -> None:
    """For want of memory, say: the primary must not wait for an answer that nobody will give."""

    def fail(_: int, fd: int | None) -> None:
        assert fd is not None
        os.close(fd)
        raise MemoryError

    rig.receiver._end._on_offer = fail
    rig.offer()
    rig.turn()
    assert (rig.gone, rig.closed, rig.answers) == (["gone"], [None], [])


def test_worker_that_cannot_answer_does_not_serve(rig: Rig) -> None:
    """Once the primary has finished with a worker, an unread offer is closed, not served twice."""
    rig.offer()
    rig.primary.finish()
    rig.turn()
    assert rig.taken == []
    assert rig.closed == [None]
    assert rig.gone == ["gone"]


def test_finish_delivers_answers_that_had_arrived(rig: Rig) -> None:
    """What the worker acknowledged before it was given up counts."""
    rig.offer()
    rig.receiver._end.read()
    rig.primary.finish()
    assert rig.answers == [Packet(PacketKind.ACCEPTED, 5)]
    assert rig.closed == [None]


def test_answer_of_a_worker_that_died_with_another_offer_unread_counts(rig: Rig) -> None:
    """The kernel tells the reset before what is queued behind it; the answer still says who has the connection."""
    rig.offer()
    rig.receiver._end.read()
    rig.offer()  # never read
    rig.receiver.close()
    rig.turn()
    assert rig.answers == [Packet(PacketKind.ACCEPTED, 5)]
    assert rig.closed == [None]
    for _, fd in rig.taken:
        os.close(fd)
    rig.taken.clear()


def test_garbage_closes_the_primarys_end(rig: Rig) -> None:
    """A packet that makes no sense is told once, as an error."""
    rig.worker_socket.send(b"nonsense")
    rig.turn()
    assert isinstance(rig.closed[0], FrameError)
    assert not rig.primary.is_open
    assert rig.offer() is False


def test_offer_to_a_worker_that_is_gone_is_false(rig: Rig) -> None:
    """The dispatcher learns that this worker is out of reach."""
    rig.receiver.close()
    assert rig.offer() is False


def test_offer_without_its_descriptor_is_refused(rig: Rig) -> None:
    """A worker out of descriptors gets the packet alone, and sends the connection back."""
    rig.primary._sock.send(b"\x01\x00\x00\x00\x05")
    rig.turn()
    assert rig.answers == [Packet(PacketKind.REFUSED, 5)]


def test_descriptor_that_nobody_asked_for_is_closed(rig: Rig) -> None:
    """A stray descriptor beside another packet leaks nothing."""
    reading, writing = os.pipe()
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, reading.to_bytes(4, "little"))]
    rig.primary._sock.sendmsg([b"\x06\x00\x00\x00\x00"], rights)
    os.close(reading)
    os.close(writing)
    rig.turn()
    assert rig.taken == []
