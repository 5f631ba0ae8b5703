"""Hand a connection on with what was read of it: the bytes, and the client's address, in memory of their own.

A worker that has read the head of a request which belongs to another puts what it has read into a file without a name
(``memfd``).  Its descriptor goes beside that of the connection, through the primary, which reads neither, to the other
worker.  So no size of a packet bounds a head, and no body is copied: what has not been read is still the kernel's.

Nothing that comes is trusted: another worker may have been taken over.
"""

from __future__ import annotations

import _socket
import errno
import fcntl
import os
import tempfile
from typing import Final

import msgspec

from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from ..machine.letting_go import let_go

__all__ = ["MOST_HANDED_BYTES", "Handed", "close_connection", "read_handed", "share_of_descriptors", "write_handed"]

MOST_HANDED_BYTES: Final = 1024 * 1024
"""What was read of a connection, at most; one of which more was read is not handed on."""

_MARGIN: Final = 4096  # for the address
_LEAST, _MOST = 16, 1024  # connections that wait
_GET_SEALS: Final = getattr(fcntl, "F_GET_SEALS", 1034)


class Handed(msgspec.Struct, frozen=True, array_like=True):
    """The bytes and facts that come with a connection which another worker has begun to read.

    Attributes:
        family: of its socket; not that of its listener where it is relayed.
        peer: the client's address; ``None``: ask the connection.
        data: what was read.
    """

    family: int
    peer: tuple[str | int, ...] | str | None
    data: bytes

    def address(self, sock: _socket.socket) -> PeerAddress:
        """Return the client's address.

        Raises:
            OSError: it has left.
        """
        return sock.getpeername() if self.peer is None else self.peer  # type: ignore[return-value]  # msgspec's is wider


_encode: Final = msgspec.msgpack.Encoder().encode
_decode: Final = msgspec.msgpack.Decoder(Handed).decode


def write_handed(handed: Handed) -> int:
    """Return a descriptor of memory that holds it.

    Raises:
        OSError: no descriptor or no memory is left.
        ValueError: it is too much to be handed on.
    """
    if len(handed.data) > MOST_HANDED_BYTES:
        raise ValueError(f"expected {MOST_HANDED_BYTES} bytes at most, got {len(handed.data)}")
    fd = _memory()
    try:
        _write_all(fd, _encode(handed))
    except OSError:
        _socket.close(fd)
        raise
    return fd


def _write_all(fd: int, data: bytes) -> None:
    if os.write(fd, data) < len(data):  # where the memory of a group of processes ends meanwhile
        raise OSError(errno.ENOMEM, os.strerror(errno.ENOMEM))


def read_handed(fd: int) -> Handed:
    """Return what a descriptor holds, and close it.

    Raises:
        FrameError: that is nothing that :func:`write_handed` has written.
    """
    try:
        if hasattr(os, "memfd_create"):
            fcntl.fcntl(fd, _GET_SEALS)  # of nothing else: reading it may wait
        data = os.pread(fd, MOST_HANDED_BYTES + _MARGIN + 1, 0)
        if len(data) > MOST_HANDED_BYTES + _MARGIN:
            raise FrameError("a worker handed on more than it may")
        return _decode(data)
    except (OSError, msgspec.DecodeError) as error:
        raise FrameError(f"what a worker handed on makes no sense: {error}") from error
    finally:
        let_go(fd)


def close_connection(connection: Connection) -> None:
    """Close what the primary holds of a connection, without waiting for a client."""
    let_go(connection.fd)
    if connection.head >= 0:
        let_go(connection.head)


def share_of_descriptors(parts: int) -> int:
    """Return how many connections that were handed on may wait, if they are to have one of so many parts.

    Each has two descriptors.
    """
    return max(_LEAST, min(_MOST, os.sysconf("SC_OPEN_MAX") // parts))


def _memory() -> int:
    if hasattr(os, "memfd_create"):
        return os.memfd_create("nodecluster-head", os.MFD_CLOEXEC)
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())
