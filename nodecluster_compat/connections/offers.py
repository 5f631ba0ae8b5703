"""Offer connections to a worker over its connection channel, and take back what it has not taken: the primary's end.

The channel is a SEQPACKET pair, separate from the message channel so that neither waits for the other.
An offer is a packet with the descriptor of a connection beside it.  It lies in the channel until the worker's
``recvmsg`` takes it, and that is the whole agreement: there is no answer, and the primary closes its own copy as soon
as the offer is sent.  Exactly one process has a connection at any moment, because exactly one ``recvmsg`` returns it:
the worker's, or the primary's, which keeps the worker's end open as well and reads from it what it wants back.  That
works with a worker that is stopped, that computes, or that is dead.

The worker's end is in ``taking_end``.

Descriptors are closed by ``_socket.close``, here and wherever a worker gets rid of one: gevent's ``os.close`` puts it
off until its loop wakes up; until then the client of a connection that another worker has ended sees no end.
"""

from __future__ import annotations

import _socket
import struct
from functools import lru_cache
from typing import Final

from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from ..machine.letting_go import let_go
from .packets import PACKET_BYTES, Packet, PacketKind, decode_packet, encode_packet

__all__ = ["FD_SPACE", "RECEIVE_BYTES", "OfferingEnd", "connection_pair", "received_fds"]

_SMALLEST: Final = 1  # the kernel makes it the smallest buffer that it has
_FD: Final = struct.Struct("i")
_TWO_FDS: Final = struct.Struct("ii")
_SOL_SOCKET: Final = _socket.SOL_SOCKET
_SCM_RIGHTS: Final = _socket.SCM_RIGHTS
_DONTWAIT: Final = _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC

RECEIVE_BYTES: Final = PACKET_BYTES + 1
"""One more than a packet, to notice a longer one."""

FD_SPACE: Final = _socket.CMSG_SPACE(_TWO_FDS.size)
"""What the descriptors beside a packet take."""


def connection_pair() -> tuple[_socket.socket, _socket.socket]:
    """Return the two ends of a new connection channel, the primary's and the worker's: neither waits."""
    near, far = _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    near.setblocking(False)
    far.setblocking(False)
    # So small that one packet fills it: it is writable again when that was taken.
    near.setsockopt(_SOL_SOCKET, _socket.SO_SNDBUF, _SMALLEST)
    return near, far


@lru_cache(maxsize=1024)
def _offer(kind: PacketKind, listener_id: int) -> tuple[bytes]:
    """Return the packet of an offer as ``sendmsg`` takes it."""
    return (encode_packet(kind, listener_id),)


class OfferingEnd:
    """The primary's end of one worker's channel.

    Args:
        worker_id: whose.
        near: the first socket of :func:`connection_pair`.
        far: the second, which the worker has as well.
        asks: whether the worker is to answer that it has taken an offer, because the kernel does not tell.

    Attributes:
        is_open: whether anything can still be offered or read.
        has_left: the worker has said that it takes no more.
        is_busy: something lies in the channel, as far as is known.
        offered: the listener of the connection in it, and that without its descriptors; ``None`` for none.
        handed: how many connections the worker has got, and not given back.
        slot: of the worker.
        ended: how many of its connections have ended, where C can read it (``machine/shared_number``).
        age: ticks of the engine since it was offered.
        looks: see :class:`~nodecluster_compat.connections.stuck_offers.Lying`.
        pid: the worker's process, once it has one.
    """

    __slots__ = (
        "_far",
        "_handed_kind",
        "_kind",
        "_near",
        "age",
        "ended",
        "handed",
        "has_left",
        "is_busy",
        "is_open",
        "looks",
        "offered",
        "pid",
        "slot",
        "worker_id",
    )

    def __init__(self, worker_id: int, near: _socket.socket, far: _socket.socket, *, asks: bool = False) -> None:
        self.worker_id = worker_id
        self._near = near
        self._far = far
        self._kind = PacketKind.OFFER_TO_ANSWER if asks else PacketKind.OFFER
        self._handed_kind = PacketKind.HANDED_TO_ANSWER if asks else PacketKind.HANDED
        self.is_open = True
        self.has_left = False
        self.is_busy = False
        self.offered: tuple[int, PeerAddress, int] | None = None
        self.handed = 0
        self.slot = 0
        self.ended: object = None
        self.age = 0
        self.looks: tuple[tuple[float, float, int], ...] = ()
        self.pid = 0

    def fileno(self) -> int:
        """Return the descriptor of the near end, -1 once closed."""
        return self._near.fileno()

    def far_moved(self, far: _socket.socket) -> None:
        """The worker's end has another descriptor now; whoever moved it has closed the former one."""
        self._far = far

    def offer(self, listener_id: int, fd: int, peer: PeerAddress, head: int = -1, target: int = 0) -> bool:
        """Send a connection; ``False`` when the worker takes no more.

        Raises:
            OSError: the kernel cannot take it now (too many descriptors under way, no memory).
        """
        kind, fds = (self._kind, _FD.pack(fd)) if head < 0 else (self._handed_kind, _TWO_FDS.pack(fd, head))
        handed, offered = self.handed + 1, (listener_id, peer, target)
        try:
            self._near.sendmsg(_offer(kind, listener_id), ((_SOL_SOCKET, _SCM_RIGHTS, fds),))
        except (BrokenPipeError, ConnectionResetError):
            return False
        self.is_busy = True
        self.handed, self.offered = handed, offered
        self.age, self.looks = 0, ()
        return True

    def probe(self) -> None:
        """Send a packet that stands for nothing: it is taken when the worker reads again.

        Raises:
            OSError: the kernel cannot take it now.
        """
        self.is_busy = True
        self._near.send(encode_packet(PacketKind.PROBE))

    def taken(self) -> None:
        """Note that the worker has taken what was in the channel."""
        self.is_busy, self.offered = False, None

    def take_back(self) -> tuple[int, Connection] | None:
        """Return the connection that the worker has not taken, and its listener; ``None`` when it has."""
        while True:
            try:
                data, ancillary, _, _ = self._far.recvmsg(RECEIVE_BYTES, FD_SPACE, _DONTWAIT)
            except OSError:
                return None
            if not data:
                return None
            fds = received_fds(ancillary)
            if fds:
                _, peer, target = self.offered or (0, "", 0)
                self.is_busy, self.offered = False, None
                self.handed -= 1
                head = fds[1] if fds[1:] else -1
                return decode_packet(data).listener_id, Connection(fds[0], peer, head, target, was_offered=True)

    def read(self) -> tuple[Packet, tuple[int, ...]] | None:
        """Return one packet of the worker and the descriptors beside it; ``None`` when there is none now.

        Raises:
            EOFError: the worker has closed the channel, or is gone.
            FrameError: the packet makes no sense.
        """
        try:
            data, ancillary, _, _ = self._near.recvmsg(RECEIVE_BYTES, FD_SPACE, _DONTWAIT)
        except BlockingIOError:
            return None
        except OSError as error:
            raise EOFError from error
        if not data:
            raise EOFError
        fds = received_fds(ancillary)
        try:
            return decode_packet(data), fds
        except FrameError:
            for fd in fds:
                let_go(fd)
            raise

    def close(self) -> None:
        """Close both ends: the worker reads the end of the channel.  A no-op when they are closed."""
        self.is_open, self.ended = False, None
        self._near.close()
        self._far.close()

    def abandon(self, keeps_far: bool = False) -> None:
        """In a forked child: close the inherited copies.

        Args:
            keeps_far: the child is the worker, and the far end its own.
        """
        self.is_open, self.ended = False, None
        self._near.close()
        if not keeps_far:
            self._far.close()


def received_fds(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """Return the descriptors among what came beside a packet, two at most."""
    for level, kind, data in ancillary:
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS and len(data) >= _FD.size:
            return _TWO_FDS.unpack(data) if len(data) == _TWO_FDS.size else (_FD.unpack_from(data)[0],)
    return ()
