"""Faults of connections: they come late, or never, and are given back when nobody takes them any more."""

from __future__ import annotations

import _socket
import logging
import os
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.offers import OfferingEnd, connection_pair
from nodecluster_compat.connections.packets import Packet, PacketKind
from nodecluster_compat.connections.receiver import Receiver

pytestmark = pytest.mark.usefixtures("no_leaks")


class Rig:
    """A primary's end, and a worker whose connections wait until the test lets them come or loses them."""

    def __init__(self) -> None:
        self.loop = Loop(logging.getLogger("test"))
        near, far = connection_pair()
        self.primary = OfferingEnd(1, near, _socket.socket(fileno=os.dup(far.fileno())))
        self.taken: list[tuple[int, int]] = []
        self.lost = 0
        self.room = True
        self.held: list[tuple[str, Callable[[], None], Callable[[], None]]] = []
        self.receiver = Receiver(far, self._take, lambda _: self.room, lambda: None, lambda: None)
        self.receiver.start(self.loop)
        self.receiver.interpose(lambda *held: self.held.append(held), self._lose)

    def _take(self, listener_id: int, fd: int, head: int) -> None:
        self.taken.append((listener_id, head))
        os.close(fd)
        if head >= 0:
            os.close(head)

    def _lose(self) -> None:
        self.lost += 1

    def deal(self, *, head: bool = False) -> _socket.socket:
        """Offer a connection and let it be taken; return the client's end."""
        client, server = _socket.socketpair()
        client.settimeout(5)
        more = os.open(os.devnull, os.O_RDONLY) if head else -1
        assert self.primary.offer(5, server.fileno(), ("client", 1), more)
        server.close()
        if head:
            os.close(more)
        self.loop.run_once(0)
        return client

    def heard(self) -> list[Packet]:
        """What the worker has said, but for the end; descriptors beside it are closed."""
        said = []
        while (received := self.primary.read()) is not None:
            packet, fds = received
            said.append(packet)
            for fd in fds:
                os.close(fd)
        return said


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.receiver.close()
    made.primary.close()
    made.loop.close()


def test_connection_comes_when_its_fault_lets_it(rig: Rig) -> None:
    """Once, however often it is let go."""
    client = rig.deal()
    [(step, pass_on, lose)] = rig.held
    assert (step, rig.taken) == ("connection", [])
    pass_on()
    pass_on()
    lose()
    assert (rig.taken, rig.lost, rig.heard()) == ([(5, -1)], 0, [])
    client.close()


def test_what_was_read_of_it_comes_too(rig: Rig) -> None:
    client = rig.deal(head=True)
    rig.held[0][1]()
    [(listener_id, head)] = rig.taken
    assert listener_id == 5
    assert head >= 0
    client.close()


@pytest.mark.parametrize("head", [False, True])
def test_lost_connection_has_ended(rig: Rig, head: bool) -> None:
    """Its client sees that, and it is counted."""
    client = rig.deal(head=head)
    _, pass_on, lose = rig.held[0]
    lose()
    pass_on()
    assert client.recv(1) == b""
    assert (rig.taken, rig.lost) == ([], 1)
    client.close()


def test_room_that_is_gone_meanwhile(rig: Rig) -> None:
    """It is given back, and room is told as of any other."""
    client = rig.deal()
    rig.room = False
    rig.held[0][1]()
    assert (rig.taken, rig.heard()) == ([], [Packet(PacketKind.REFUSED, 5)])
    rig.room = True
    rig.receiver.room_made()
    assert rig.heard() == [Packet(PacketKind.ROOM, 5)]
    client.close()


@pytest.mark.parametrize("leave", [Receiver.stop, Receiver.close])
def test_worker_that_leaves_gives_back_what_has_not_come(rig: Rig, leave: Callable[[Receiver], None]) -> None:
    """Before it says that it leaves, so that others get it; what is let go then was gone."""
    clients = [rig.deal(), rig.deal()]
    leave(rig.receiver)
    given_back = [rig.primary.read(), rig.primary.read()]
    for received in given_back:
        assert received is not None
        packet, fds = received
        assert packet == Packet(PacketKind.REFUSED, 5)
        os.close(fds[0])
    for _, pass_on, lose in rig.held:
        pass_on()
        lose()
    assert (rig.taken, rig.lost) == ([], 0)
    for client in clients:
        client.close()
