"""How many bytes the other end of a TCP connection on this machine has not read, by the kernel: sock_diag(7)."""

from __future__ import annotations

import socket
import struct
from typing import Final

__all__ = ["unread_by_peer"]

_SOCK_DIAG_BY_FAMILY: Final = 20
_NLM_F_REQUEST: Final = 1
_NETLINK_SOCK_DIAG: Final = 4
_HEADER: Final = struct.Struct("=IHHII")
_REQUEST: Final = struct.Struct("=BBBBI")  # family, protocol, extensions, padding, states
_PORTS: Final = struct.Struct("!HH")
_REST: Final = struct.Struct("=III")  # interface, cookie
_QUEUE_AT: Final = _HEADER.size + 4 + 48 + 4  # inet_diag_msg: four bytes, the socket's identity, expires
_ESTABLISHED: Final = 1


def unread_by_peer(client: socket.socket) -> int:
    """Return how many bytes wait for the process at the other end; 0 when it has closed.

    Args:
        client: connected over IPv4 to a process on this machine.
    """
    address, port = client.getpeername()
    own_address, own_port = client.getsockname()
    identity = _PORTS.pack(port, own_port) + b"".join(
        socket.inet_aton(one).ljust(16, b"\0") for one in (address, own_address)
    )
    body = (
        _REQUEST.pack(socket.AF_INET, socket.IPPROTO_TCP, 0, 0, 0xFFFFFFFF)
        + identity
        + _REST.pack(0, 2**32 - 1, 2**32 - 1)
    )
    with socket.socket(socket.AF_NETLINK, socket.SOCK_RAW, _NETLINK_SOCK_DIAG) as kernel:
        kernel.send(_HEADER.pack(_HEADER.size + len(body), _SOCK_DIAG_BY_FAMILY, _NLM_F_REQUEST, 1, 0) + body)
        answer = kernel.recv(4096)
    _, kind, _, _, _ = _HEADER.unpack_from(answer)
    if kind != _SOCK_DIAG_BY_FAMILY or answer[_HEADER.size + 1] != _ESTABLISHED:
        return 0
    (unread,) = struct.unpack_from("=I", answer, _QUEUE_AT)
    return int(unread)
