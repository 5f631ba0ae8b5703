"""Spare clients of this host the pacing of what is sent to them.

Where BBR is the system's congestion control (``net.ipv4.tcp_congestion_control``), the kernel spreads over time what it
sends, with timers, and lets only so much be under way.  Over a network that prevents losses.  Over the loopback
interface nothing is lost, and an answer of 1 MB costs two fifths more processor time.  So a socket that listens on a
loopback address changes to Reno, which every kernel has and any process may choose; its connections begin with it.
Where the system refuses that, the socket stays as it is.

A congestion control other than BBR is left alone, and so is what ``when_ready`` sets afterwards; also a socket that was
made by somebody else, who may have chosen BBR for it.  With ``reuse_port`` each worker makes its sockets after the
fork; they stay as they are, too.

Rejected: changing connections, of which some come over the loopback interface on any address: the kernel goes on pacing
one that has begun with BBR.  A small send buffer (``SO_SNDBUF``) during large answers: it avoids the timers too, and
costs more than it saves where there are none.
"""

from __future__ import annotations

from contextlib import suppress
from ipaddress import ip_address
from socket import AF_INET, AF_INET6, IPPROTO_TCP, TCP_CONGESTION
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from _socket import socket

__all__ = ["control_of", "send_unpaced"]

_PACED: Final = b"bbr"
_UNPACED: Final = b"reno"
_LONGEST_NAME: Final = 16


def send_unpaced(listening: socket) -> None:
    """Let the connections of a socket send as the kernel does without pacing, if all their clients are on this host.

    Args:
        listening: the bound socket; one that is not of TCP is left alone.
    """
    with suppress(OSError):
        if _is_loopback(listening) and control_of(listening) == _PACED:
            listening.setsockopt(IPPROTO_TCP, TCP_CONGESTION, _UNPACED)


def control_of(sock: socket) -> bytes:
    """Return the name of a socket's congestion control.

    Raises:
        OSError: it is no socket of TCP.
    """
    return sock.getsockopt(IPPROTO_TCP, TCP_CONGESTION, _LONGEST_NAME).rstrip(b"\0")


def _is_loopback(listening: socket) -> bool:
    if listening.family not in {AF_INET, AF_INET6}:
        return False
    host: str = listening.getsockname()[0]
    address = ip_address(host.partition("%")[0])
    return (getattr(address, "ipv4_mapped", None) or address).is_loopback
