"""Deal to the idle worker that has the fewest connections: for requests of unequal length, and connections that stay.

Among equals the one that has waited longest is chosen, so that with short requests it is round robin.
"""

from __future__ import annotations

from ...base.records import Connection
from .base import Workers

__all__ = ["LeastConnections"]


class LeastConnections:
    """A line of idle workers; of those with the fewest connections the first is chosen.

    Args:
        workers: asked how many connections each has.
    """

    __slots__ = ("_idle", "_workers")

    def __init__(self, workers: Workers) -> None:
        self._workers = workers
        self._idle: dict[int, None] = {}

    def add(self, worker_id: int) -> None:
        """Put the worker at the end of the line."""
        self._idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        """Take the worker out of the line."""
        self._idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        """Return the idle worker with the fewest connections."""
        chosen = min(self._idle, key=self._workers.connections, default=None)
        if chosen is not None:
            del self._idle[chosen]
        return chosen
