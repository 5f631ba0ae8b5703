"""Close descriptors that another process has or had, without waiting for a client.

The kernel's ``close`` of a connection may wait: where SO_LINGER is set, for a client that does not read, by the one who
closes last.  A worker that sets it, or its application, and closes first would make the primary wait in its place, for
as long as was set, and everything with it.  So a time to linger is taken away before closing; what has been written is
sent all the same.  No time (``l_linger`` 0, which resets the connection) waits for nothing, and is left as it is.

A worker that sets the option between the two calls here, again and again, and works together with a client, can still
make the primary wait.  Only a thread for each ``close`` would help against that.
"""

from __future__ import annotations

import _socket
import struct
from typing import Final

from .socket_objects import AS_IT_IS

__all__ = ["let_go"]

_LINGER: Final = struct.Struct("ii")
_NEVER: Final = _LINGER.pack(0, 0)
_NO_SOCKET: Final = (OSError, MemoryError)  # made before memory is short


def let_go(fd: int) -> None:
    """Close a descriptor without waiting for what is still to be sent; anything but a socket is just closed."""
    try:
        # The family and so on are given so that the kernel is not asked for them; they are not used.
        sock = _socket.socket(_socket.AF_INET, AS_IT_IS, 0, fd)
    except _NO_SOCKET:
        _socket.close(fd)
        return
    try:
        if sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER):  # of two numbers the first: whether it is on
            _never_linger(sock)
    finally:
        sock.close()


def _never_linger(sock: _socket.socket) -> None:
    _, seconds = _LINGER.unpack(sock.getsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _LINGER.size))
    if seconds:
        sock.setsockopt(_socket.SOL_SOCKET, _socket.SO_LINGER, _NEVER)
