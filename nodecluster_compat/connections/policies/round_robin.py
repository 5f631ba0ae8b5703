"""Deal round robin as Node does it: first idle, first served.

Source: Node's ``SCHED_RR``; ``reference/node-cluster-spec`` §3.2.  Not strict rotation: a worker
returns to the end of the line when it has *taken* its last connection, so a blocked worker is
passed over instead of waited for.
"""

from __future__ import annotations

from ...base.records import Connection
from .base import Workers

__all__ = ["RoundRobin"]


class RoundRobin:
    """A line of idle workers; the one that waited longest is chosen.

    Args:
        workers: not asked.
    """

    __slots__ = ("_idle",)

    def __init__(self, workers: Workers | None = None) -> None:
        # A dict is an ordered set with O(1) removal from the middle.
        self._idle: dict[int, None] = {}

    def add(self, worker_id: int) -> None:
        """Put the worker at the end of the line, unless it already stands in it."""
        self._idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        """Take the worker out of the line."""
        self._idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        """Return the worker at the head of the line, or ``None`` when nobody is idle."""
        for worker_id in self._idle:
            del self._idle[worker_id]
            return worker_id
        return None
