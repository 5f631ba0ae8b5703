"""Offer connections to a worker over its connection channel, and take back what it has not taken.

The channel is a SEQPACKET pair, separate from the message channel so that neither waits for the other.
An offer is a packet with the descriptor of a connection beside it.  It lies in the channel until the worker's
``recvmsg`` takes it, and that is the whole agreement: there is no answer, and the primary closes its own copy as soon
as the offer is sent.  Exactly one process has a connection at any moment, because exactly one ``recvmsg`` returns it:
the worker's, or the primary's, which keeps the worker's end open as well and reads from it what it wants back.  That
works with a worker that is stopped, that computes, or that is dead.

:class:`OfferingEnd` is the primary's, :class:`TakingEnd` the worker's.

Descriptors are closed by ``_socket.close``, here and wherever a worker gets rid of one: gevent's ``os.close`` puts it
off until its loop wakes up; until then the client of a connection that another worker has ended sees no end.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ..base.native import Choice, Native, in_force
from ..base.reactor import Reactor
from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from ..machine.letting_go import let_go
from .outbound import Outbound
from .packets import PACKET_BYTES, Packet, PacketKind, decode_packet, encode_packet

__all__ = ["OfferingEnd", "TakingEnd", "connection_pair"]

_SMALLEST: Final = 1  # the kernel makes it the smallest buffer that it has
_RECEIVE_BYTES: Final = PACKET_BYTES + 1  # one more than a packet, to notice a longer one
_FD: Final = struct.Struct("i")
_TWO_FDS: Final = struct.Struct("ii")
_FD_SPACE: Final = _socket.CMSG_SPACE(_TWO_FDS.size)
_SOL_SOCKET: Final = _socket.SOL_SOCKET
_SCM_RIGHTS: Final = _socket.SCM_RIGHTS
_DONTWAIT: Final = _socket.MSG_DONTWAIT | _socket.MSG_CMSG_CLOEXEC
_PAUSE: Final = 0.05


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
        """What was in the channel is the worker's."""
        self.is_busy, self.offered = False, None

    def take_back(self) -> tuple[int, Connection] | None:
        """Return the connection that the worker has not taken, and its listener; ``None`` when it has."""
        while True:
            try:
                data, ancillary, _, _ = self._far.recvmsg(_RECEIVE_BYTES, _FD_SPACE, _DONTWAIT)
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
            data, ancillary, _, _ = self._near.recvmsg(_RECEIVE_BYTES, _FD_SPACE, _DONTWAIT)
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


class TakingEnd:
    """The worker's end.

    Args:
        sock: the second socket of :func:`connection_pair`.
        on_offer: called with the listener's id and the descriptor of a connection that is this worker's now, and the
            descriptor of what another worker has read of it, -1 for nothing.
        on_closed: called once when the primary has closed its end, or is gone.
        may_take: asked before an offer is taken; where it says no, offers lie until :meth:`go_on`.
        choice: C or Python; what is in force unless it is said.
        on_lost: called when the kernel has closed a connection, because this process had no descriptor left for all
            that came with it; without it that is raised.

    Attributes:
        is_open: whether anything can still come.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_offer: Callable[[int, int, int], None],
        on_closed: Callable[[], None],
        may_take: Callable[[], bool] | None = None,
        choice: Choice | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._out = Outbound(sock)
        self._on_offer = on_offer
        self._on_closed = on_closed
        self._on_lost = on_lost or _raise_lost
        self.may_take = may_take
        self._is_paused = False
        self._reactor: Reactor | None = None
        self.is_open = True
        native = (in_force() if choice is None else choice).module
        self._read = self.read if native is None else self._reading_in_c(native)

    def _reading_in_c(self, native: Native) -> Callable[[], None]:
        taking = native.Taking(
            end=self,
            sock=self._sock,
            on_offer=self._on_offer,
            packet=PACKET_BYTES,
            offer=PacketKind.OFFER,
        )
        read: Callable[[], None] = taking.read
        return read

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._sock.fileno()

    def attach(self, reactor: Reactor) -> None:
        """Take offers through ``reactor``."""
        self._reactor = reactor
        self._out.attach(reactor)
        reactor.add_reader(self._sock.fileno(), self._read)

    def say(self, kind: PacketKind, listener_id: int = 0) -> bool:
        """Send a notice; ``False`` when the primary can no longer hear it."""
        return self._out.send(encode_packet(kind, listener_id))

    def give_back(self, listener_id: int, fd: int, head: int = -1) -> bool:
        """Send a connection back, with what another worker has read of it, and close it here."""
        try:
            return self._out.send(encode_packet(PacketKind.REFUSED, listener_id), (fd,) if head < 0 else (fd, head))
        finally:
            _socket.close(fd)
            if head >= 0:
                _socket.close(head)

    def route(self, listener_id: int, target: int, fd: int, head: int) -> bool:
        """Send a connection and what was read of it to another worker; ``False``: the primary never has it.

        Both descriptors stay the caller's, to close.
        """
        return self.is_open and self._out.send(encode_packet(PacketKind.ROUTE, listener_id, target), (fd, head))

    def leave(self) -> None:
        """Say that no more is taken, and see to it: what lies in the channel now is the primary's to take back.

        What this worker routes to others, it may still send.
        """
        self._detach()
        if self.say(PacketKind.LEAVE):
            with contextlib.suppress(OSError):
                self._sock.shutdown(_socket.SHUT_RD)

    def close(self) -> None:
        """Close this end; a no-op when it is closed."""
        if self.is_open:
            self._detach()
            self._out.close()
            self.is_open = False
            self._sock.close()

    def abandon(self) -> None:
        """In a forked child: close the inherited copies of descriptors and nothing more."""
        self.is_open = False
        self._out.abandon()
        self._sock.close()

    def read(self) -> None:
        """Take one offer.  There is rarely a second, and the loop calls again when there is."""
        if self.may_take is not None and not self.may_take():
            self._pause()
            return
        if not self._has_place():
            self._rest()
            return
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_RECEIVE_BYTES, _FD_SPACE, _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if data:
            self.received(data, received_fds(ancillary))
        else:
            self.ended()

    def received(self, data: bytes, fds: tuple[int, ...]) -> None:
        """Act on a packet, and the descriptors beside it."""
        try:
            packet = decode_packet(data)
        except FrameError:
            _close_all(fds)
            raise
        try:
            self._take(packet, fds)
        except MemoryError:
            self.ended()  # it could not serve: without the channel the primary offers it nothing more
            raise

    def ended(self) -> None:
        """Nothing more can come, or be served."""
        self.close()
        self._on_closed()

    def _take(self, packet: Packet, fds: tuple[int, ...]) -> None:
        kind = packet.kind
        if kind is not PacketKind.OFFER and kind is not PacketKind.HANDED:
            self.say(PacketKind.TAKEN)
        if kind is PacketKind.PROBE:
            return
        is_handed = kind is PacketKind.HANDED or kind is PacketKind.HANDED_TO_ANSWER
        if len(fds) != 1 + is_handed:
            _close_all(fds)
            self._on_lost()
            return
        self._on_offer(packet.listener_id, fds[0], fds[1] if is_handed else -1)

    def _pause(self) -> None:
        if self._reactor is not None:
            self._is_paused = True
            self._reactor.remove_reader(self._sock.fileno())

    def go_on(self) -> None:
        """Take what lies here, if anything was left lying and may be taken now."""
        if self._is_paused and self._reactor is not None and self.may_take is not None and self.may_take():
            self._is_paused = False
            self._reactor.add_reader(self._sock.fileno(), self._read)
            self._read()

    def _has_place(self) -> bool:
        """Whether this process can have one more descriptor: otherwise the kernel would throw the offer's away."""
        try:
            _socket.close(os.dup(self._sock.fileno()))
        except OSError:
            return False
        return True

    def _rest(self) -> None:
        """Take nothing for a moment; the primary asks others meanwhile."""
        assert self._reactor is not None
        self._reactor.remove_reader(self._sock.fileno())
        self._reactor.call_later(_PAUSE, self._rested)

    def _rested(self) -> None:
        if self._reactor is not None and self.is_open:
            self._reactor.add_reader(self._sock.fileno(), self._read)

    def _detach(self) -> None:
        if self._reactor is not None:
            self._reactor.remove_reader(self._sock.fileno())
            self._reactor = None


def received_fds(ancillary: list[tuple[int, int, bytes]]) -> tuple[int, ...]:
    """Return the descriptors among what came beside a packet, two at most."""
    for level, kind, data in ancillary:
        if level == _SOL_SOCKET and kind == _SCM_RIGHTS and len(data) >= _FD.size:
            return _TWO_FDS.unpack(data) if len(data) == _TWO_FDS.size else (_FD.unpack_from(data)[0],)
    return ()


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        _socket.close(fd)


def _raise_lost() -> None:
    raise OSError(errno.EMFILE, "a connection was lost, because this process has no descriptor left for it")
