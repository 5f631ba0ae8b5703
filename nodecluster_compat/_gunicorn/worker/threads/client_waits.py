"""Wait for clients in the main thread: by a descriptor that is watched, and until a deadline."""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    from ....thread_runtime.poller import Poller
    from .client_connection import ClientConnection

__all__ = ["ClientWaits", "Waiting", "due"]

Waiting: TypeAlias = "dict[ClientConnection, float]"
"""Connections that wait equally long, and until when; so the first of them is the first that is due."""


class ClientWaits:
    """Keeps the waits of one worker's connections.

    Args:
        poller: of the main thread.
        lost: told of a connection that a thread of the application's has just closed.
    """

    def __init__(self, poller: Poller, lost: Callable[[ClientConnection], None]) -> None:
        self._poller = poller
        self._lost = lost

    def begin(self, conn: ClientConnection, table: Waiting, seconds: float, readable: Callable[[], None]) -> None:
        """Wait in ``table`` for so many seconds; ``readable`` is called when the client has sent something."""
        fd = conn.sock.fileno()
        try:
            self._poller.add_reader(fd, readable)
        except (OSError, ValueError):
            self._lost(conn)
            return
        conn.watched = fd, readable
        table[conn] = monotonic() + seconds

    def end(self, conn: ClientConnection, table: Waiting) -> None:
        """Wait in ``table`` no longer."""
        del table[conn]
        self._poller.remove_reader(*conn.watched)


def due(table: Waiting) -> list[ClientConnection]:
    """Return the connections whose time is over."""
    now = monotonic()
    over = []
    for conn, deadline in table.items():
        if deadline > now:
            break
        over.append(conn)
    return over
