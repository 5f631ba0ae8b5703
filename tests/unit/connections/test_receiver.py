"""Handing a descriptor over: the two ends of the connection channel, and the worker's decision."""

from __future__ import annotations

import _socket
import logging
import os
import resource
from collections.abc import Iterator

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.packets import PACKET_BYTES, Packet, PacketKind, encode_packet
from nodecluster_compat.connections.receiver import Receiver
from nodecluster_compat.connections.taking_end import TakingEnd
from nodecluster_compat.errors import FrameError

LIMIT_OF_DESCRIPTORS = resource.getrlimit(resource.RLIMIT_NOFILE)


class Rig:
    """A primary's end and a worker's receiver, whose loop is turned by hand."""

    def __init__(self, asks: bool = False) -> None:
        self.loop = Loop(logging.getLogger("test"))
        near, far = connection_pair()
        self.taken: list[tuple[int, int]] = []
        self.room = True
        self.left: list[str] = []
        self.gone: list[str] = []
        self.near = near
        self.worker_socket = far
        self.primary = OfferingEnd(1, near, _socket.socket(fileno=os.dup(far.fileno())), asks=asks)
        self.receiver = Receiver(
            far,
            lambda listener_id, fd, _: self.taken.append((listener_id, fd)),
            lambda _: self.room,
            lambda: self.left.append("left"),
            lambda: self.gone.append("gone"),
        )
        self.receiver.start(self.loop)

    def turn(self) -> None:
        for _ in range(10):
            self.loop.run_once(0)

    def offer(self) -> bool:
        reading, writing = os.pipe()
        try:
            return self.primary.offer(5, reading, ("client", 1))
        finally:
            os.close(reading)
            os.close(writing)

    def heard(self) -> list[Packet]:
        """What the worker has said; descriptors beside it are closed."""
        packets = []
        while (received := self.primary.read()) is not None:
            packet, fds = received
            packets.append(packet)
            assert len(fds) == (packet.kind is PacketKind.REFUSED)
            for fd in fds:
                os.close(fd)
        return packets


@pytest.fixture
def rig(no_leaks: None) -> Iterator[Rig]:
    made = Rig()
    yield made
    for _, fd in made.taken:
        os.close(fd)
    made.primary.close()
    made.receiver.close()
    made.loop.close()


def test_offer_is_taken_without_an_answer(rig: Rig) -> None:
    """The descriptor arrives, close-on-exec, with the listener's number; the worker says nothing."""
    assert rig.offer()
    assert rig.primary.offered == (5, ("client", 1), 0)
    rig.turn()
    [(listener_id, fd)] = rig.taken
    assert listener_id == 5
    assert not os.get_inheritable(fd)
    assert rig.heard() == []


def test_worker_answers_where_the_kernel_does_not_tell() -> None:
    rig = Rig(asks=True)
    rig.offer()
    rig.turn()
    assert rig.heard() == [Packet(PacketKind.TAKEN, 0)]
    os.close(rig.taken[0][1])
    rig.primary.close()
    rig.receiver.close()
    rig.loop.close()


def test_what_was_not_taken_is_taken_back(rig: Rig) -> None:
    """Whatever became of the worker; and the worker gets nothing then."""
    rig.offer()
    taken_back = rig.primary.take_back()
    assert taken_back is not None
    listener_id, connection = taken_back
    assert (listener_id, connection.peer) == (5, ("client", 1))
    os.close(connection.fd)
    assert not rig.primary.is_busy
    assert rig.primary.offered is None
    rig.turn()
    assert rig.taken == []


def test_what_was_taken_is_not_taken_back(rig: Rig) -> None:
    """Exactly one has it."""
    rig.offer()
    rig.turn()
    assert rig.primary.take_back() is None
    assert len(rig.taken) == 1


def test_probe_is_no_connection(rig: Rig) -> None:
    """Neither for the worker, nor for who takes back."""
    rig.primary.probe()
    assert rig.primary.is_busy
    rig.turn()
    rig.primary.probe()
    assert rig.primary.take_back() is None
    assert (rig.taken, rig.gone) == ([], [])


def test_full_worker_gives_the_connection_back_and_says_when_it_has_room(rig: Rig) -> None:
    """A refusal keeps no descriptor; ROOM comes once, when there is some."""
    rig.room = False
    rig.offer()
    rig.turn()
    assert rig.heard() == [Packet(PacketKind.REFUSED, 5)]
    rig.receiver.room_made()
    rig.room = True
    rig.receiver.room_made()
    rig.receiver.room_made()
    assert rig.heard() == [Packet(PacketKind.ROOM, 5)]
    assert rig.taken == []


def test_worker_that_leaves_takes_no_more(rig: Rig) -> None:
    """It says so once; an offer that was under way is the primary's, and no other can be made."""
    rig.offer()
    rig.receiver.stop()
    rig.receiver.stop()
    rig.turn()
    assert (rig.taken, rig.left, rig.receiver.has_left) == ([], ["left"], True)
    taken_back = rig.primary.take_back()
    assert taken_back is not None
    os.close(taken_back[1].fd)
    assert not rig.offer()
    packet = rig.primary.read()
    assert packet == (Packet(PacketKind.LEAVE, 0), ())
    assert rig.primary.read() is None
    rig.receiver.close()
    rig.primary.close()


def test_worker_that_has_left_still_routes_what_it_has(rig: Rig) -> None:
    rig.receiver.stop()
    reading, writing = os.pipe()
    try:
        assert rig.receiver.route(5, 7, reading, writing)
        assert rig.primary.read() == (Packet(PacketKind.LEAVE, 0), ())
        received = rig.primary.read()
        assert received is not None
        packet, fds = received
        assert packet == Packet(PacketKind.ROUTE, 5, 7)
        for fd in (reading, writing, *fds):
            os.close(fd)
        assert len(fds) == 2
        rig.receiver.close()
        assert not rig.receiver.route(5, 7, 0, 0)
    finally:
        rig.primary.close()


def test_worker_that_fails_to_take_gives_its_channel_up(rig: Rig) -> None:
    """For want of memory, say: it could not serve."""

    def fail(_: int, fd: int, memory: int) -> None:
        os.close(fd)
        raise MemoryError

    rig.receiver._take = fail
    rig.offer()
    rig.turn()
    assert rig.gone == ["gone"]


def test_worker_hears_when_the_primary_has_closed(rig: Rig) -> None:
    """And gets nothing more."""
    rig.primary.close()
    rig.turn()
    assert (rig.taken, rig.gone) == ([], ["gone"])


def test_garbage_is_told(rig: Rig) -> None:
    """With a descriptor beside it, which is closed."""
    rights = [(_socket.SOL_SOCKET, _socket.SCM_RIGHTS, rig.near.fileno().to_bytes(4, "little"))]
    rig.worker_socket.sendmsg([b"nonsense"], rights)
    with pytest.raises(FrameError, match="makes no sense"):
        rig.primary.read()


def test_offer_to_a_worker_that_has_shut_its_end_is_false(rig: Rig) -> None:
    """The dispatcher learns that this worker is out of reach."""
    rig.worker_socket.shutdown(_socket.SHUT_RDWR)
    assert rig.offer() is False


def test_worker_without_a_descriptor_left_leaves_the_offer_where_it_is(rig: Rig) -> None:
    """The kernel would throw it away; so the primary can take it back."""
    spare = os.dup(0)
    os.close(spare)
    try:
        resource.setrlimit(resource.RLIMIT_NOFILE, (spare, LIMIT_OF_DESCRIPTORS[1]))
        assert rig.primary.offer(5, 0, ("client", 1))
        rig.turn()
        assert rig.taken == []
    finally:
        resource.setrlimit(resource.RLIMIT_NOFILE, LIMIT_OF_DESCRIPTORS)
    while not rig.taken:  # it looks again by itself
        rig.loop.run_once(1)


def test_offer_without_its_descriptor_is_an_error(rig: Rig, caplog: pytest.LogCaptureFixture) -> None:
    """There is nobody to give it back to."""
    rig.near.send(encode_packet(PacketKind.OFFER, 5))
    rig.turn()
    assert "no descriptor left" in caplog.text
    assert rig.gone == []


def test_who_is_told_of_a_lost_connection_goes_on(rig: Rig) -> None:
    lost: list[int] = []
    rig.receiver.close()
    near, far = connection_pair()
    end = TakingEnd(far, lambda *_: None, lambda: None, on_lost=lambda: lost.append(1))
    end.attach(rig.loop)
    for _ in range(2):
        near.send(encode_packet(PacketKind.HANDED, 5))
        rig.turn()
    end.close()
    near.close()
    assert lost == [1, 1]


def test_every_packet_is_as_large_as_the_kernel_needs_it() -> None:
    assert {len(encode_packet(kind, 7)) for kind in PacketKind} == {PACKET_BYTES} == {256}


def test_full_worker_of_threads_leaves_offers_lying_without_a_word(rig: Rig) -> None:
    """The primary can take them back; when there is room they are taken at once."""
    rig.receiver.close()
    rig.primary.close()
    near, far = connection_pair()
    rig.primary = OfferingEnd(1, near, _socket.socket(fileno=os.dup(far.fileno())), asks=False)
    rig.receiver = Receiver(
        far,
        lambda listener_id, fd, _: rig.taken.append((listener_id, fd)),
        lambda _: True,
        lambda: None,
        lambda: None,
        may_take=lambda: rig.room,
    )
    rig.receiver.start(rig.loop)
    rig.room = False
    assert rig.offer()
    rig.turn()
    rig.receiver.room_made()
    rig.turn()
    assert (rig.taken, rig.heard()) == ([], [])
    lying = rig.primary.take_back()
    assert lying is not None
    os.close(lying[1].fd)

    assert rig.offer()
    rig.turn()
    rig.room = True
    rig.receiver.room_made()
    assert [listener_id for listener_id, _ in rig.taken] == [5]
    assert rig.heard() == []
    assert rig.offer()
    rig.turn()
    assert len(rig.taken) == 2
