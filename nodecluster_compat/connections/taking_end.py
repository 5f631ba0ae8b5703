"""Take the connections that the primary offers, in a worker: its end of the connection channel.

``offers`` has the theory, and the primary's end.
"""

from __future__ import annotations

import _socket
import contextlib
import errno
import os
from collections.abc import Callable
from typing import Final

from ..base.native import Choice, Native, in_force
from ..base.reactor import Reactor
from ..errors import FrameError
from .offers import FD_SPACE, RECEIVE_BYTES, received_fds
from .outbound import Outbound
from .packets import PACKET_BYTES, Packet, PacketKind, decode_packet, encode_packet

__all__ = ["TakingEnd"]

_PAUSE: Final = 0.05


class TakingEnd:
    """The worker's end of its connection channel.

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
            data, ancillary, _, _ = self._sock.recvmsg(RECEIVE_BYTES, FD_SPACE, _socket.MSG_CMSG_CLOEXEC)
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
        """Close the channel: nothing more can come, or be served."""
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


def _close_all(fds: tuple[int, ...]) -> None:
    for fd in fds:
        _socket.close(fd)


def _raise_lost() -> None:
    raise OSError(errno.EMFILE, "a connection was lost, because this process has no descriptor left for it")
