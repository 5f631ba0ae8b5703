"""Act on what workers send over their connection channels; on the dealer's thread.

Nothing that a worker sends is trusted: what makes no sense closes that worker's channel and harms nobody else.
"""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Callable
from typing import Final, Protocol

from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from ..machine.letting_go import let_go
from ..machine.spare_descriptors import SpareDescriptors
from .offers import OfferingEnd
from .packets import PacketKind

__all__ = ["WorkerPackets"]

_MOST_UNREAD: Final = 1024  # more than the kernel's buffer holds: it may be a worker that never stops


class Dealing(Protocol):
    """What the engine does with what a worker says."""

    def taken(self, end: OfferingEnd) -> None:
        """The worker says that it has taken what lay in its channel; that counts where the kernel does not tell."""

    def refused(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker gives a connection back, untouched."""

    def routed(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker has read something of a connection, which belongs to another."""

    def looks(self, end: OfferingEnd) -> None:
        """The worker routes what it reads: a look at each connection may save it the trouble."""

    def has_room(self, end: OfferingEnd, listener_id: int) -> None:
        """The worker, which had refused, can take connections again."""

    def leaves(self, end: OfferingEnd) -> None:
        """The worker takes no more, and has shut its end."""

    def ended(self, end: OfferingEnd, error: FrameError | None) -> None:
        """The channel is at its end, or broken."""


class WorkerPackets:
    """Reads the workers' ends of the channels.

    Args:
        dealing: the engine.
        is_known: says whether there is, or was, a listener of that number.
        spare: given up while a descriptor may come.
    """

    def __init__(self, dealing: Dealing, is_known: Callable[[int], bool], spare: SpareDescriptors) -> None:
        self._dealing = dealing
        self._is_known = is_known
        self._spare = spare

    def read(self, end: OfferingEnd) -> None:
        """Act on one packet.  There is rarely a second, and the loop calls again when there is."""
        try:
            self._read_one(end)
        except EOFError:
            self._dealing.ended(end, None)
        except FrameError as error:
            self._dealing.ended(end, error)
        except OSError as error:  # whatever a worker sends ends that worker's channel, and not the dealer
            self._dealing.ended(end, FrameError(f"what a worker sent could not be taken: {error}"))

    def read_rest(self, end: OfferingEnd) -> None:
        """Act on what a worker had said before it was lost."""
        with contextlib.suppress(EOFError, FrameError, OSError):
            for _ in range(_MOST_UNREAD):
                if not self._read_one(end):
                    break

    def _read_one(self, end: OfferingEnd) -> bool:
        self._spare.give_up()
        received = end.read()
        self._spare.restore()
        if received is None:
            return False
        (kind, listener_id, target), fds = received
        if kind is PacketKind.REFUSED or kind is PacketKind.ROUTE:
            self._returned(end, kind, listener_id, target, fds)
            return True
        for fd in fds:
            let_go(fd)
        self._act_on(end, kind, listener_id)
        return True

    def _act_on(self, end: OfferingEnd, kind: PacketKind, listener_id: int) -> None:
        if kind is PacketKind.TAKEN:
            self._dealing.taken(end)
        elif kind is PacketKind.ROOM:
            self._dealing.has_room(end, listener_id)
        elif kind is PacketKind.LEAVE:
            self._dealing.leaves(end)
        elif kind is PacketKind.LOOK:
            self._dealing.looks(end)
        else:
            raise FrameError(f"a worker sent a packet that only the primary sends: {kind.name}")

    def _returned(
        self, end: OfferingEnd, kind: PacketKind, listener_id: int, target: int, fds: tuple[int, ...]
    ) -> None:
        if fds:
            head = fds[1] if fds[1:] else -1
            if kind is PacketKind.REFUSED and head >= 0:
                target = end.worker_id  # it was handed on to this worker, and goes to no other while that serves
            connection = Connection(fds[0], _peer_of(*fds), head, target, was_offered=True)
            if kind is PacketKind.REFUSED:
                self._dealing.refused(end, listener_id, connection)
            else:
                self._dealing.routed(end, listener_id, connection)
        if not self._is_known(listener_id):
            raise FrameError(f"a worker answered for a listener that never existed: {listener_id}")


def _peer_of(fd: int, *more: int) -> PeerAddress:
    """Return the address of the client.

    Raises:
        FrameError: this is no connection; it is closed, and what came beside it.
    """
    sock = _connection(fd)
    if sock is None:
        for one in (fd, *more):
            let_go(one)
        raise FrameError("a worker gave back what is no connection")
    try:
        peer: PeerAddress = sock.getpeername()
    except OSError:  # it has left
        peer = ""
    finally:
        sock.detach()
    return peer


def _connection(fd: int) -> _socket.socket | None:
    try:
        sock = _socket.socket(fileno=fd)
    except OSError:
        return None
    if sock.type == _socket.SOCK_STREAM:
        return sock
    sock.detach()
    return None
