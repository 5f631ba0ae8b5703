"""Offer connections to a worker over its connection channel, a SEQPACKET pair for descriptors and answers.

It is separate from the message channel so that neither waits for the other (DESIGN §4.6).  At most one
offer per listener is under way, so the pair never fills: a full one means that the peer breaks the
protocol.  :class:`OfferingEnd` is the primary's, :class:`TakingEnd` the worker's.

Descriptors are closed by ``_socket.close``, here and wherever a worker gets rid of one: gevent's ``os.close`` puts it
off until its loop wakes up; until then the client of a connection that another worker has ended sees no end.
"""

from __future__ import annotations

import _socket
import contextlib
import struct
from collections.abc import Callable
from functools import lru_cache
from typing import Final

from ..base.reactor import Reactor
from ..errors import FrameError
from .packets import PACKET_BYTES, Packet, PacketKind, decode_packet, encode_packet

__all__ = ["OfferingEnd", "TakingEnd", "connection_pair"]

_MOST_UNREAD: Final = 1024  # more than the kernel's buffer of a pair holds
_RECEIVE_BYTES: Final = PACKET_BYTES + 1  # one more than a packet, to notice a longer one
_FD: Final = struct.Struct("i")
_FD_SPACE: Final = _socket.CMSG_SPACE(_FD.size)
_SOL_SOCKET: Final = _socket.SOL_SOCKET
_SCM_RIGHTS: Final = _socket.SCM_RIGHTS


def connection_pair() -> tuple[_socket.socket, _socket.socket]:
    """Return the two ends of a new connection channel: the primary's, the worker's."""
    return _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)


@lru_cache(maxsize=1024)
def _offer(listener_id: int) -> tuple[bytes]:
    """Return the packet of an offer as ``sendmsg`` takes it."""
    return (encode_packet(PacketKind.OFFER, listener_id),)


class _End:
    """What both ends share: the socket, its reader, and the way it closes."""

    def __init__(self, sock: _socket.socket) -> None:
        sock.setblocking(False)
        self._sock = sock
        self._reactor: Reactor | None = None
        self.is_open = True

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._sock.fileno()

    def close(self) -> None:
        """Close this end; a no-op when it is closed."""
        if self.is_open:
            self.is_open = False
            if self._reactor is not None:
                self._reactor.remove_reader(self._sock.fileno())
            self._sock.close()

    def abandon(self) -> None:
        """In a forked child: close the inherited copy of the descriptor and nothing more."""
        self.is_open = False
        self._sock.close()

    def _send(self, packet: bytes) -> bool:
        try:
            self._sock.send(packet)
        except OSError:
            return False
        return True


class OfferingEnd(_End):
    """The primary's end.

    Args:
        sock: one socket of :func:`connection_pair`.
        on_answer: called with each packet of the worker.
        on_closed: called once, with ``None`` at the end of the stream, with the error on garbage.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_answer: Callable[[Packet], None],
        on_closed: Callable[[FrameError | None], None],
    ) -> None:
        super().__init__(sock)
        self._on_answer = on_answer
        self._on_closed = on_closed

    def attach(self, reactor: Reactor) -> None:
        """Read the worker's answers through ``reactor``."""
        self._reactor = reactor
        reactor.add_reader(self._sock.fileno(), self.read)

    def offer(self, listener_id: int, fd: int) -> bool:
        """Send a connection; ``False`` when the worker is gone.

        Raises:
            OSError: the kernel cannot take it now (too many descriptors under way, no memory).
        """
        if not self.is_open:
            return False
        try:
            self._sock.sendmsg(_offer(listener_id), ((_SOL_SOCKET, _SCM_RIGHTS, _FD.pack(fd)),))
        except (BrokenPipeError, ConnectionResetError):
            return False
        return True

    def confirm_left(self) -> None:
        """Tell the worker that no further offer comes."""
        self._send(encode_packet(PacketKind.LEFT))

    def read(self) -> None:
        """Deliver one answer.  There is rarely a second, and the loop calls again when there is."""
        if self.is_open:
            self._read_one()

    def finish(self) -> None:
        """Let no further answer in, deliver those that have arrived, and close.

        The order matters: once reading is shut down a worker that still lives cannot answer any more,
        and a worker that cannot say ACCEPTED does not serve.  So a connection that goes to another
        worker after this is served once.
        """
        if not self.is_open:
            return
        with contextlib.suppress(OSError):
            self._sock.shutdown(_socket.SHUT_RD)
        for _ in range(_MOST_UNREAD):
            if not self._read_one():
                break
        self._end(None)

    def _read_one(self) -> bool:
        try:
            data = self._sock.recv(_RECEIVE_BYTES)
        except BlockingIOError:
            return False
        except OSError as error:
            data = self._behind(error)
        if not data:
            self._end(None)
            return False
        try:
            self._on_answer(decode_packet(data))
        except FrameError as error:
            self._end(error)
            return False
        return True

    def _behind(self, error: OSError) -> bytes:
        if isinstance(error, ConnectionResetError):
            # Told first when the worker died with an offer unread; what it had answered is still behind it.
            with contextlib.suppress(OSError):
                return self._sock.recv(_RECEIVE_BYTES)
        return b""

    def _end(self, error: FrameError | None) -> None:
        if self.is_open:
            self.close()
            self._on_closed(error)


class TakingEnd(_End):
    """The worker's end.

    Args:
        sock: the other socket of :func:`connection_pair`.
        on_offer: called with the listener's id and the descriptor, or ``None`` when the descriptor could
            not be received (this process has no room for one more).
        on_left: called when the primary has confirmed that no further offer comes.
        on_closed: called once when the primary has closed its end, or is gone.
    """

    def __init__(
        self,
        sock: _socket.socket,
        on_offer: Callable[[int, int | None], None],
        on_left: Callable[[], None],
        on_closed: Callable[[], None],
    ) -> None:
        super().__init__(sock)
        self._on_offer = on_offer
        self._on_left = on_left
        self._on_closed = on_closed

    def attach(self, reactor: Reactor) -> None:
        """Receive offers through ``reactor``."""
        self._reactor = reactor
        reactor.add_reader(self._sock.fileno(), self.read)

    def say(self, kind: PacketKind, listener_id: int = 0) -> bool:
        """Send an answer or a notice; ``False`` when the primary can no longer hear it."""
        return self._send(encode_packet(kind, listener_id))

    def read(self) -> None:
        """Take one offer.  There is rarely a second, and the loop calls again when there is."""
        try:
            data, ancillary, _, _ = self._sock.recvmsg(_RECEIVE_BYTES, _FD_SPACE, _socket.MSG_CMSG_CLOEXEC)
        except BlockingIOError:
            return
        except OSError:
            data, ancillary = b"", []
        if not data:
            self.close()
            self._on_closed()
            return
        try:
            self._take(*decode_packet(data), _received_fd(ancillary))
        except Exception:
            # Want of memory.  The primary would wait for an answer for ever: without the channel it knows.
            self.close()
            self._on_closed()
            raise

    def _take(self, kind: PacketKind, listener_id: int, fd: int | None) -> None:
        if kind is PacketKind.OFFER:
            self._on_offer(listener_id, fd)
        elif fd is not None:
            _socket.close(fd)
        elif kind is PacketKind.LEFT:
            self._on_left()


def _received_fd(ancillary: list[tuple[int, int, bytes]]) -> int | None:
    for level, kind, data in ancillary:
        if level == _socket.SOL_SOCKET and kind == _socket.SCM_RIGHTS and len(data) >= _FD.size:
            fd: int = _FD.unpack_from(data)[0]
            return fd
    return None
