"""Ask the kernel how many connections wait on a listening TCP socket."""

from __future__ import annotations

import _socket
import struct
from typing import Final, NamedTuple

from .socket_objects import AS_IT_IS

__all__ = ["Backlog", "backlog_of"]

# linux/tcp.h, struct tcp_info: eight bytes, then 32-bit fields.  Of a listening socket the fifth says how many
# connections are complete and not accepted, the sixth how many there may be.
_INFO: Final = struct.Struct("24xII")
_INFO_BYTES: Final = 104


class Backlog(NamedTuple):
    """The connections that the kernel has completed and nobody has accepted.

    Attributes:
        waiting: how many there are.
        limit: how many there may be.
    """

    waiting: int
    limit: int


def backlog_of(fd: int, family: int) -> Backlog | None:
    """Return what waits on a listening socket; ``None`` where the kernel does not tell, as of a unix socket.

    Args:
        fd: the descriptor of the socket.
        family: its address family.
    """
    if family not in (_socket.AF_INET, _socket.AF_INET6):
        return None
    try:
        sock = _socket.socket(family, AS_IT_IS, _socket.IPPROTO_TCP, fd)  # told, it asks the kernel nothing
        try:
            info = sock.getsockopt(_socket.IPPROTO_TCP, _socket.TCP_INFO, _INFO_BYTES)
        finally:
            sock.detach()
    except (OSError, ValueError):
        return None
    return Backlog(*_INFO.unpack_from(info)) if len(info) >= _INFO.size else None
