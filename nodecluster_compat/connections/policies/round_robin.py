"""Deal round robin as Node does it: first idle, first served.

Source: Node's ``SCHED_RR``.  Not strict rotation: a worker
returns to the end of the line when it has *taken* its last connection, so a blocked worker is
passed over instead of waited for.
"""

from __future__ import annotations

from ...base.records import Connection
from .base import IdleLine, Workers

__all__ = ["RoundRobin"]


class RoundRobin(IdleLine, twin=0):
    """A line of idle workers; the one that waited longest is chosen.

    Args:
        workers: not asked.
    """

    __slots__ = ()

    def __init__(self, workers: Workers | None = None) -> None:
        super().__init__()

    def choose(self, connection: Connection) -> int | None:
        """Return the worker at the head of the line, or ``None`` when nobody is idle."""
        return self.first()
