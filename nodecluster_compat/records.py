"""Frozen records: the only currency between the layers.

No layer hands another a bare tuple or dict that has a meaning; it hands one of these.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["Address", "AddressType", "Connection", "ExitStatus", "PeerAddress", "ServedAddress", "SocketName"]

AddressType: TypeAlias = Literal[4, 6, -1, "udp4", "udp6"]

SocketName: TypeAlias = "tuple[str, int] | tuple[str, int, int, int] | str | bytes"
"""What ``getsockname()`` says: a tuple for TCP, a string (bytes when abstract) for a unix socket."""

PeerAddress: TypeAlias = SocketName


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker listens: the argument of the ``listening`` event.

    Source: Node's ``cluster`` documentation, event ``listening``; ``reference/node-cluster-spec`` §2.2.

    Attributes:
        address: the IP address, or the absolute path of a unix socket (abstract names start with NUL).
        port: the port; -1 for a unix socket.
        address_type: 4 or 6 for TCP, -1 for a unix socket, ``"udp4"`` or ``"udp6"``.
        fd: the descriptor number when the server was asked to listen on one, otherwise ``None``.
    """

    address: str | None
    port: int
    address_type: AddressType
    fd: int | None = None


@dataclass(frozen=True, slots=True)
class ServedAddress:
    """One listening socket as a worker knows it: the primary's number for it, and what it is bound to."""

    listener_id: int
    family: int
    name: SocketName


@dataclass(frozen=True, slots=True)
class Connection:
    """An accepted connection that waits for a worker.

    Attributes:
        fd: the primary's copy of the descriptor; it stays open until a worker has acknowledged it.
        peer: the client's address as ``accept`` returned it.
    """

    fd: int
    peer: PeerAddress


@dataclass(frozen=True, slots=True)
class ExitStatus:
    """How a process ended: exactly one of ``code`` and ``signal`` is ``None``."""

    code: int | None
    signal: str | None
