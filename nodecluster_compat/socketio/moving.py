"""Close the Engine.IO connections of a worker that leaves, so that its clients go on with another one at once.

A client whose *Engine.IO* connection breaks connects again by itself.  One that Socket.IO disconnects does not, nor
does the Python client when Engine.IO tells it that the server closes: so nobody is told anything.  What still begins a
session here, on a connection that was kept alive, is broken as well, as long as the worker lives.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Any, Final

__all__ = ["LOOK_SECONDS", "MOST_CLOSERS", "SHUTTING_DOWN", "open_sockets", "shares"]

LOOK_SECONDS: Final = 0.1
"""Between two looks for sessions that have begun since."""

SHUTTING_DOWN: Final = "server shutting down"
"""What handlers of ``disconnect`` are told as the reason, as on Node."""

MOST_CLOSERS: Final = 16
"""Handlers of ``disconnect`` that run at a time: one that is slow holds up a sixteenth of the clients."""


def open_sockets(eio: Any) -> list[Any]:  # noqa: ANN401 - Engine.IO has no types
    """Return the connections of an Engine.IO server that have not ended."""
    return [socket for socket in list(eio.sockets.values()) if not socket.closed and not socket.closing]


def shares(sockets: list[Any]) -> Iterable[list[Any]]:
    """Return the connections in as many parts as are closed at a time."""
    return [part for start in range(MOST_CLOSERS) if (part := sockets[start::MOST_CLOSERS])]
