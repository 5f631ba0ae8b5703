"""Define the frozen records that the layers hand each other.

No layer hands another a bare tuple or dict that has a meaning; it hands one of these.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Any, Final, Literal, TypeAlias

from msgspec import Struct

__all__ = [
    "NO_BEAT",
    "NO_LOAD",
    "Address",
    "AddressType",
    "Beat",
    "Connection",
    "ExitStatus",
    "Handle",
    "ListenAnswer",
    "ListenRequest",
    "Load",
    "Message",
    "PeerAddress",
    "ServedAddress",
    "SharingKey",
    "SocketName",
    "checked",
]

Message: TypeAlias = Any
"""What a user sends and receives: whatever the serializer of its line carries, JSON unless set otherwise."""

Handle: TypeAlias = Any
"""What goes along with a message: a socket of the standard library's or of gevent's, a server of ours, or ``None``."""

AddressType: TypeAlias = Literal[4, 6, -1, "udp4", "udp6"]

SocketName: TypeAlias = "tuple[str, int] | tuple[str, int, int, int] | str | bytes"
"""What ``getsockname()`` says: a tuple for TCP, a string (bytes when abstract) for a unix socket."""

PeerAddress: TypeAlias = SocketName


@dataclass(frozen=True, slots=True)
class Address:
    """Where a worker listens: the argument of the ``listening`` event.

    Source: Node's documentation of ``cluster``, event ``listening``.

    Attributes:
        address: the IP address, or the absolute path of a unix socket (abstract names start with NUL); ``None`` for
            a server that was given no host, or a descriptor.
        port: the port; -1 for a unix socket.
        address_type: 4 or 6 for TCP, -1 for a unix socket, ``"udp4"`` or ``"udp6"``; ``None`` with a descriptor.
        fd: the descriptor number when the server was asked to listen on one, otherwise ``None``.
    """

    address: str | None
    port: int
    address_type: AddressType | None
    fd: int | None = None


class ServedAddress(Struct, frozen=True):
    """One listening socket as a worker knows it: the primary's number for it, and what it is bound to."""

    listener_id: int
    family: int
    name: SocketName


class SharingKey(Struct, frozen=True):
    """The key by which two workers share a listening socket.

    The ordinal counts only with port 0: the n-th ``listen(0)`` of every worker is the same socket, and the same
    number asked for twice in one worker is an error.  (Node does so since 22; before, a failed duplicate
    kept its worker from ever sharing that port again.)
    """

    address: str | None
    port: int
    address_type: AddressType | None
    fd: int | None
    ordinal: int


class ListenRequest(Struct, frozen=True):
    """A request to bind: of a worker to its primary, or of a program to itself.

    Attributes:
        address: the IP address, already resolved; an absolute path; ``None`` for every address, or with ``fd``.
        port: 0 for any, -1 for a path.
        address_type: as in :class:`Address`; ``None`` with ``fd``.
        fd: a descriptor of the primary to listen on.
        ordinal: how many servers of this worker with the same first fields are open already.
        backlog: of the first worker that asks; later values are ignored.
        ipv6_only: do not take IPv4 on an IPv6 address.
        reuse_address: UDP: others may bind the same address.
        reuse_port: the kernel shares the port between sockets.
        readable_all: everybody may read a unix socket.
        writable_all: everybody may write to a unix socket.
    """

    address: str | None
    port: int
    address_type: AddressType | None
    fd: int | None = None
    ordinal: int = 0
    backlog: int = 511
    ipv6_only: bool = False
    reuse_address: bool = False
    reuse_port: bool = False
    readable_all: bool = False
    writable_all: bool = False

    @property
    def is_udp(self) -> bool:
        """Whether datagrams are asked for."""
        return self.address_type in ("udp4", "udp6")

    @property
    def key(self) -> SharingKey:
        """What it is shared by."""
        ordinal = self.ordinal if self.port == 0 and self.fd is None else 0
        return SharingKey(self.address, self.port, self.address_type, self.fd, ordinal)


class ListenAnswer(Struct, frozen=True):
    """The primary's answer to a :class:`ListenRequest`.

    Attributes:
        request_id: the worker's number for the request.
        errno: 0, or why there is no socket.
        listener_id: the primary's number for the socket.
        family: its address family.
        name: what it is bound to.
    """

    request_id: int
    errno: int
    listener_id: int = 0
    family: int = 0
    name: SocketName = ""


class Connection(Struct, frozen=True, eq=False, gc=False):  # one for each connection: made in C
    """An accepted connection that waits for a worker; equal to nothing but itself, since descriptors come again.

    Attributes:
        fd: the primary's copy of the descriptor; it is closed when the connection was offered.
        peer: the client's address as ``accept`` returned it.
        head: a descriptor of what a worker has read of it, if one has (:mod:`~nodecluster_compat.connections.handed`);
            -1 for nothing.
        target: the worker that it belongs to; 0 for nobody's.
        was_offered: a worker has had a descriptor of it, and may have set that ``close`` lingers.
    """

    fd: int
    peer: PeerAddress
    head: int = -1
    target: int = 0
    was_offered: bool = False


class ExitStatus(Struct, frozen=True):
    """How a process ended: exactly one of ``code`` and ``signal`` is ``None``."""

    code: int | None
    signal: str | None


class Beat(Struct, frozen=True):
    """The last heartbeat of a loop.

    Attributes:
        turned: when it last turned, in seconds of the monotonic clock; 0 before the first time.
        lag: by how many seconds it was late, at worst, lately.
    """

    turned: float
    lag: float


NO_BEAT: Final = Beat(0.0, 0.0)


class Load(Struct, frozen=True):
    """The last report of a worker about its threads.

    Attributes:
        full_since: since when all are busy and none has ended a request, on the monotonic clock; 0 where one is free.
        waiting: how many requests wait in the worker for one.
    """

    full_since: float
    waiting: int


NO_LOAD: Final = Load(0.0, 0)


def checked(turned: float, lag: float) -> Beat:
    """Return the beat that a worker has written, or none when it makes no sense."""
    if 0 < turned < math.inf and 0 <= lag < math.inf:
        return Beat(turned, lag)
    return NO_BEAT
