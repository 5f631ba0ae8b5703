"""Stop a listening socket from taking new clients and keep those it has, before it is closed.

Theory of operation
-------------------
Closing a listening socket resets the clients that the kernel has connected and nobody has accepted.  It is not enough
to accept until there is none left and close then: a client that comes in between is connected, sends its request, and
is reset.  That gap is short (40 of 300 ends lost a client to it, with three that ask without pause), and it is longest
when the machine is busy, which is when people deploy.  So the kernel is told first:

- TCP: a filter on the socket drops SYN, so no handshake begins.  The client's system sends it again a second later,
  when the socket is closed, and the client is refused: it learns that the server has gone, not that it has broken off.
- unix: ``shutdown`` refuses clients that connect.  Those that wait can still be accepted.

Both hold for all processes that have the socket, and last as long as the socket does; on a unix socket nothing takes it
back.  So only a process that has the socket alone may do this, when its end is certain: never for a socket with which
another master, systemd or the owner of an ``fd://`` goes on, nor at a reload, which may fail and go back.

Rejected: ``listen(0)``, which leaves room for one; a rule of the firewall, which takes root.
"""

from __future__ import annotations

import array
import contextlib
import socket
import struct
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import _socket

__all__ = ["quiesce"]

_SO_ATTACH_FILTER: Final = 26  # asm-generic/socket.h; Python does not name it
# linux/filter.h, struct sock_filter: code, jump if true, jump if false, constant.
_DROP_SYN: Final = array.array(
    "B",
    b"".join(
        struct.pack("=HBBI", *instruction)
        for instruction in (
            (0x30, 0, 0, 13),  # load the byte with the flags; the filter of a TCP socket sees the TCP header first
            (0x45, 0, 1, 0x02),  # SYN? A client never sends it with ACK to a socket that listens
            (0x06, 0, 0, 0),  # drop it
            (0x06, 0, 0, 0xFFFFFFFF),  # let all of it pass
        )
    ),
)
_INSTRUCTION_BYTES: Final = 8


def quiesce(sock: _socket.socket) -> None:
    """Let nobody connect any more; who is connected can still be accepted.

    Where the system does not know how (gVisor, a sandbox), nothing happens: the short gap stays.

    Args:
        sock: it listens, and no other process goes on with it.
    """
    with contextlib.suppress(OSError):
        if sock.family == socket.AF_UNIX:
            sock.shutdown(socket.SHUT_RD)
        else:
            address, size = _DROP_SYN.buffer_info()
            program = struct.pack("HP", size // _INSTRUCTION_BYTES, address)  # struct sock_fprog
            sock.setsockopt(socket.SOL_SOCKET, _SO_ATTACH_FILTER, program)
