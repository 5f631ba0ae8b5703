"""Tell policies about workers: which serve, in which place, and how many connections each has.

A connection counts for a worker from the moment it is handed over.  The worker counts those that have ended, in memory
that the primary reads (``operations/metrics``).  So the count is right at any moment, without a message: a connection
that comes back counts no more, and a worker that dies takes its count with it.  The ends are read again after a
millisecond at the earliest, for all workers together, when a policy asks.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Collection, Mapping
from typing import Final

from .offers import OfferingEnd
from .policies import AskedFunction, Function

__all__ = ["CountedWorkers"]

_FRESH_SECONDS: Final = 0.001


class CountedWorkers:
    """See :class:`~nodecluster_compat.connections.policies.Workers`.

    Args:
        serving: returns who serves the listener.
        ends: the channels, by worker.
        ended: says how many connections of a worker have ended.
        asked: makes what asks a program's function.
        clock: seconds.
    """

    def __init__(
        self,
        serving: Callable[[], Collection[int]],
        ends: Mapping[int, OfferingEnd],
        ended: Callable[[int], int],
        asked: Callable[[Function], AskedFunction],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.serving = serving
        self.asked = asked
        self._ends = ends
        self._ended = ended
        self._clock = clock
        self._known: dict[int, int] = {}
        self._read = 0.0

    def slot(self, worker_id: int) -> int:
        """Return the place of a worker; 0 for one that is gone."""
        end = self._ends.get(worker_id)
        return 0 if end is None else end.slot

    def connections(self, worker_id: int) -> int:
        """Return how many connections a worker has; 0 for one that is gone."""
        end = self._ends.get(worker_id)
        if end is None:
            return 0
        now = self._clock()
        if now - self._read > _FRESH_SECONDS:
            self._read = now
            self._known.clear()
        ended = self._known.get(worker_id)
        if ended is None:
            ended = self._known[worker_id] = self._ended(worker_id)
        return max(0, end.handed - ended)
