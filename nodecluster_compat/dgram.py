"""Offer Node's ``dgram``: UDP sockets that workers share.

sock = dgram.create_socket("udp4", lambda data, peer: print(data))
sock.bind(41234)
"""

from __future__ import annotations

import socket
from collections.abc import Callable, Mapping
from typing import Any

from .base.arguments import checked_options
from .gevent_runtime.servers.listen_options import CREATE_SOCKET_OPTIONS, with_fd
from .gevent_runtime.servers.udp_socket import UdpSocket
from .machine.binding import BoundSocket

__all__ = ["Socket", "create_socket", "from_fd"]

Socket = UdpSocket


def create_socket(
    kind: str | Mapping[str, Any],
    on_message: Callable[[bytes, tuple[Any, ...]], Any] | None = None,
    *,
    reuse_address: bool = False,
    reuse_port: bool = False,
    ipv6_only: bool = False,
) -> UdpSocket:
    """Return a socket that is not bound yet; see :class:`UdpSocket`.

    Args:
        kind: ``"udp4"`` or ``"udp6"``; or all of it as a mapping, as in Node: ``{"type": "udp4", "reuseAddr": True}``.
        on_message: called with each datagram and the peer's address.
        reuse_address: others may bind the same address.
        reuse_port: bind in this process; the kernel shares the port.
        ipv6_only: do not take IPv4 on an IPv6 address.
    """
    if isinstance(kind, Mapping):
        options = {"kind": None, **checked_options(kind, CREATE_SOCKET_OPTIONS, "create_socket()")}
        return UdpSocket(on_message=on_message, **options)
    return UdpSocket(
        kind, reuse_address=reuse_address, reuse_port=reuse_port, ipv6_only=ipv6_only, on_message=on_message
    )


def from_fd(fd: int) -> UdpSocket:
    """Return a socket that is bound already to a descriptor of this process, which is its own from now on."""
    with_fd(fd, None)
    sock = socket.socket(fileno=fd)
    received = UdpSocket("udp6" if sock.family == socket.AF_INET6 else "udp4")
    received.adopt(BoundSocket(sock))
    return received
