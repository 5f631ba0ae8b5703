"""The worker's ends of its two channels, between the moment when they are made and the fork."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    import _socket

__all__ = ["ChildEnds"]


@dataclass(frozen=True, slots=True)
class ChildEnds:
    """The worker's ends of its two channels, to be kept by the child and closed by the parent."""

    messages: _socket.socket
    connections: _socket.socket

    def close(self) -> None:
        """Close both."""
        self.messages.close()
        self.connections.close()
