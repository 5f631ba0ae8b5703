"""Peek at what a client has sent: whether there is anything to read, and whether more may follow its last answer."""

from __future__ import annotations

import _socket
import socket
import ssl
from typing import TYPE_CHECKING, Final

from ....machine.peeking import peek
from ...requests.unread_body import is_unread

if TYPE_CHECKING:
    from .client_connection import ClientConnection

__all__ = ["has_ended", "has_sent", "is_pending", "may_still_send"]

_CLOSING_BYTES: Final = 64 * 1024


def has_sent(sock: socket.socket) -> bool:
    """Whether there is something to read: bytes, or the end of the connection; not where it is closed."""
    fd = sock.fileno()
    return fd >= 0 and peek(fd, 1) is not None


def may_still_send(conn: ClientConnection) -> bool:
    """Whether the client of a connection that is at its end may still send something, closed at once by a reset."""
    fd = conn.sock.fileno()
    if fd < 0:
        return False
    come = peek(fd, 1)
    if come is None:
        request = getattr(conn.parser, "mesg", None)
        return request is None or is_unread(request)
    return come != b"" and not has_ended(conn)


def has_ended(conn: ClientConnection) -> bool:
    """Throw away what an answered client still sends; return whether that was all, or is too much."""
    try:
        conn.sock.settimeout(0)
        data = _socket.socket.recv(conn.sock, _CLOSING_BYTES)
    except BlockingIOError:
        return False
    except OSError:
        return True
    conn.unread_bytes += len(data)
    return not data or conn.unread_bytes > _CLOSING_BYTES


def is_pending(sock: socket.socket) -> bool:
    """Whether OpenSSL has decrypted something that nobody has read."""
    return isinstance(sock, ssl.SSLSocket) and sock.pending() > 0
