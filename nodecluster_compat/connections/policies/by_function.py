"""Deal by a program's own function, which is asked beside dealing: however long it takes, it holds up nobody.

A connection waits for the answer as it would for a worker, and the others go on.  A function that fails, or takes too
long, is asked no more (``policy_thread``): round robin from then on.
"""

from __future__ import annotations

from ...base.records import Connection
from .base import ASKED, Function, Workers, WorkerView
from .round_robin import RoundRobin

__all__ = ["FunctionPolicy"]


class FunctionPolicy:
    """Asks for each connection about which nobody has been asked.

    Args:
        workers: told to the function.
        function: the program's.
    """

    __slots__ = ("_anybody", "_asked", "_workers")

    def __init__(self, workers: Workers, function: Function) -> None:
        self._workers = workers
        self._asked = workers.asked(function)
        self._anybody = RoundRobin()

    def add(self, worker_id: int) -> None:
        """The worker is idle."""
        self._anybody.add(worker_id)

    def remove(self, worker_id: int) -> None:
        """It is not."""
        self._anybody.remove(worker_id)

    def choose(self, connection: Connection) -> int | None:
        """Return that somebody is asked; a connection with a target has an answer, which named nobody who serves."""
        if connection.target or self._asked.is_silent:
            return self._anybody.choose(connection)
        workers = self._workers
        views = [WorkerView(one, workers.slot(one), workers.connections(one)) for one in workers.serving()]
        self._asked.ask(connection, views)
        return ASKED
