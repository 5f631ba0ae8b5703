"""Pass sockets and servers to another process beside a message.

A connected socket, a listening server, a UDP socket.  What arrives is a plain ``socket.socket`` (gevent's, where
patched), or a server of :mod:`nodecluster_compat.net` or :mod:`~nodecluster_compat.dgram`.
"""

from __future__ import annotations

import os
import socket
from enum import Enum
from importlib import import_module
from typing import Protocol, runtime_checkable

from msgspec import Struct

from ..base.records import Handle
from ..errors import FrameError, HandleNotPassable
from ..machine.letting_go import let_go

__all__ = ["DescriptorKind", "Passable", "PassedDescriptor", "passed_descriptor", "unpack"]


class DescriptorKind(Enum):
    """The kinds of descriptors that a receiver gets."""

    SOCKET = b"s"
    SERVER = b"l"
    UDP = b"u"


@runtime_checkable
class Passable(Protocol):
    """A server of ours that may have a descriptor to pass."""

    def passable_fd(self) -> int | None:
        """Return the descriptor of its socket, ``None`` when this process has none."""

    def descriptor_kind(self) -> DescriptorKind:
        """Return what the receiver makes of it."""


class PassedDescriptor(Struct, frozen=True):
    """A descriptor on its way: the sender's to close."""

    kind: DescriptorKind
    fd: int


def passed_descriptor(handle: Handle, keep_open: bool) -> PassedDescriptor | None:
    """Take a handle out of this process.

    Args:
        handle: a connected ``socket.socket``, a listening server, a UDP socket.
        keep_open: a connected socket stays usable here as well.  Servers always do.

    Returns:
        ``None`` for a socket that is closed or was passed before: its message goes without it, as in Node.

    Raises:
        HandleNotPassable: it is something else, or a server whose socket is the primary's.
    """
    if hasattr(type(handle), "passable_fd"):
        fd = handle.passable_fd()
        if fd is None:
            raise HandleNotPassable(f"expected a server with a socket of its own, got {handle!r}, which has none here")
        return PassedDescriptor(handle.descriptor_kind(), os.dup(fd))
    # gevent's sockets are no subclass of the standard library's.
    if not all(hasattr(type(handle), name) for name in ("fileno", "detach", "getsockname")):
        raise HandleNotPassable(f"expected a socket or a server as handle, got {type(handle).__name__}")
    if handle.fileno() < 0:
        return None
    kind = DescriptorKind.UDP if handle.type == socket.SOCK_DGRAM else DescriptorKind.SOCKET
    if kind is DescriptorKind.SOCKET and handle.getsockopt(socket.SOL_SOCKET, socket.SO_ACCEPTCONN):
        kind = DescriptorKind.SERVER
    if keep_open or kind is not DescriptorKind.SOCKET:
        return PassedDescriptor(kind, os.dup(handle.fileno()))
    return PassedDescriptor(kind, handle.detach())


def unpack(kind: bytes | bytearray, fd: int, serves: bool = True) -> Handle:
    """Make of a received descriptor what its sender meant.

    Args:
        kind: what it is for the receiver.
        fd: the descriptor, which is the result's from now on, or is closed.
        serves: whether this process can have servers; where not, one arrives as its plain socket.

    Raises:
        FrameError: no such kind, or not a socket.
    """
    try:
        meant = DescriptorKind(bytes(kind))  # Python 3.13 finds a member by a value that has a hash
        if meant is DescriptorKind.SOCKET or not serves:
            received = socket.socket(fileno=fd)
            received.setblocking(True)  # its sender may have had it otherwise
            return received
        home = {DescriptorKind.SERVER: "nodecluster_compat.net", DescriptorKind.UDP: "nodecluster_compat.dgram"}[meant]
        return import_module(home).from_fd(fd)
    except (ValueError, OSError) as error:
        let_go(fd)
        raise FrameError(f"a handle frame carries no usable socket: {error}") from error
