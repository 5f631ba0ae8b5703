"""Name what a server and its socket ask of each other, wherever the socket is accepted on."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol

if TYPE_CHECKING:
    from ...base.records import Address, SocketName

__all__ = ["OpenServer", "ServerSocket"]


class ServerSocket(Protocol):
    """The socket of a server that listens, wherever it is accepted on."""

    @property
    def name(self) -> SocketName:
        """What it is bound to."""

    @property
    def family(self) -> int:
        """Its address family."""

    @property
    def fd(self) -> int | None:
        """Its descriptor; ``None`` when the primary has the only one."""

    def announce(self, address: Address) -> None:
        """The server has told its own listeners: tell the primary."""

    def close(self) -> None:
        """Take no more."""


class OpenServer(Protocol):
    """A server or UDP socket, as its process sees it.

    Attributes:
        holds: whether it keeps its process alive while it is open.
    """

    holds: bool

    def bound(self, sock: ServerSocket) -> None:
        """Here is the socket that was asked for."""

    def failed(self, error: OSError) -> None:
        """There is none."""

    def take(self, fd: int, family: int) -> None:
        """A connection is this server's now, and the descriptor with it."""

    def has_room(self) -> bool:
        """Whether it can take one more connection."""

    def passable_fd(self) -> int | None:
        """Return the descriptor of its socket, ``None`` when this process has none."""

    def close(self, callback: Callable[..., Any] | None = None) -> object:
        """Take no more and end when the last connection has."""
