"""Define what a dealing policy is: the choice of a worker for each connection.

The dispatcher owns the workers' states and the queues; a policy owns only the choice.  It is called for every
connection, so each method should cost O(1).  A policy may choose among the idle workers only, as round robin does, or
*name* a worker for reasons of its own (a session that lives there): then the connection waits for that worker if it is
busy.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol, TypeAlias

from ...base.records import Connection

__all__ = ["Policy", "PolicyFactory"]


class Policy(Protocol):
    """Chooses a worker.  Pure: no sockets, no clock, no knowledge of processes."""

    def add(self, worker_id: int) -> None:
        """The worker is idle and may be chosen from now on."""

    def remove(self, worker_id: int) -> None:
        """The worker is not idle any more, or does not serve; unknown workers are ignored."""

    def choose(self, connection: Connection) -> int | None:
        """Return the worker for ``connection``, ``None`` to let it wait for anybody.

        An idle worker gets the connection at once, and is not idle any more: the policy forgets it here.  For a busy
        one the connection waits.  In place of one that does not serve anybody else will do.
        """


PolicyFactory: TypeAlias = Callable[[], Policy]
"""Makes the policy of one listener."""
