"""The protocol that every policy keeps.

The dispatcher owns the workers' states and the queue; a policy owns only the choice among the workers
that are idle right now.  It is called for every connection, so each method should cost O(1).
"""

from __future__ import annotations

from typing import Protocol

from ...base.records import Connection

__all__ = ["Policy"]


class Policy(Protocol):
    """Chooses among idle workers.  Pure: no sockets, no clock, no knowledge of processes."""

    def add(self, worker_id: int) -> None:
        """The worker is idle and may be chosen from now on."""

    def remove(self, worker_id: int) -> None:
        """The worker may no longer be chosen; unknown workers are ignored."""

    def choose(self, connection: Connection) -> int | None:
        """Return the worker for ``connection`` and forget it as idle, or ``None`` to let it wait."""
