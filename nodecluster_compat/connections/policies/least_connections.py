"""Deal to the idle worker that has the fewest connections: for requests of unequal length, and connections that stay.

Among equals the one that has waited longest is chosen, so that with short requests it is round robin.
"""

from __future__ import annotations

from ...base.records import Connection
from .base import IdleLine, Workers

__all__ = ["LeastConnections"]


class LeastConnections(IdleLine, twin=1):
    """A line of idle workers; of those with the fewest connections the first is chosen.

    Args:
        workers: asked how many connections each has.
    """

    __slots__ = ("_workers",)

    def __init__(self, workers: Workers) -> None:
        super().__init__()
        self._workers = workers

    def choose(self, connection: Connection) -> int | None:
        """Return the idle worker with the fewest connections."""
        chosen = min(self._idle, key=self._workers.connections, default=None)
        if chosen is not None:
            del self._idle[chosen]
        return chosen
