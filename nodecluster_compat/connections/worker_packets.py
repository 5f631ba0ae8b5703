"""Act on what workers send over their connection channels; on the dealer's thread.

Nothing that a worker sends is trusted: what makes no sense closes that worker's channel and harms nobody else.
"""

from __future__ import annotations

import _socket
import contextlib
from collections.abc import Callable
from typing import Final

from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from ..machine.letting_go import let_go
from ..machine.socket_objects import shared_socket
from ..machine.spare_descriptors import SpareDescriptors
from .offers import OfferingEnd
from .packets import PacketKind
from .worker_notices import WorkerNotices

__all__ = ["WorkerPackets"]

_MOST_UNREAD: Final = 1024  # more than the kernel's buffer holds: it may be a worker that never stops


class WorkerPackets:
    """Reads the workers' ends of the channels.

    Args:
        notices: acts on what they say.
        is_known: says whether there is, or was, a listener of that number.
        spare: given up while a descriptor may come.
    """

    def __init__(self, notices: WorkerNotices, is_known: Callable[[int], bool], spare: SpareDescriptors) -> None:
        self._notices = notices
        self._is_known = is_known
        self._spare = spare

    def read(self, end: OfferingEnd) -> None:
        """Act on one packet.  There is rarely a second, and the loop calls again when there is."""
        try:
            self._read_one(end)
        except EOFError:
            self._notices.ended(end, None)
        except FrameError as error:
            self._notices.ended(end, error)
        except OSError as error:  # whatever a worker sends ends that worker's channel, and not the dealer
            self._notices.ended(end, FrameError(f"what a worker sent could not be taken: {error}"))

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
            self._notices.taken(end)
        elif kind is PacketKind.ROOM:
            self._notices.has_room(end, listener_id)
        elif kind is PacketKind.LEAVE:
            self._notices.leaves(end)
        elif kind is PacketKind.LOOK:
            self._notices.looks(end)
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
                self._notices.refused(end, listener_id, connection)
            else:
                self._notices.routed(end, listener_id, connection)
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
        sock = shared_socket(fd)
    except OSError:
        return None
    if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_TYPE) == _socket.SOCK_STREAM:
        return sock
    sock.detach()
    return None
