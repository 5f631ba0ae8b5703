"""Deal to workers in proportion to weights, evenly mixed: nginx's smooth weighted round robin, among idle workers.

A weight belongs to a slot, so whoever replaces a worker has its weight.
"""

from __future__ import annotations

from collections.abc import Mapping

from ...base.records import Connection
from .base import Workers

__all__ = ["WeightedRoundRobin"]


class WeightedRoundRobin:
    """The idle workers, each with a credit that grows by its weight at each choice, and that being chosen costs.

    Args:
        workers: asked for the slot of each.
        weights: by slot; 1 where there is none.  One with weight 0 is chosen only where no other is idle.
    """

    __slots__ = ("_credits", "_idle", "_weights", "_workers")

    def __init__(self, workers: Workers, weights: Mapping[int, int]) -> None:
        self._workers = workers
        self._weights = weights
        self._idle: dict[int, int] = {}  # their weights
        self._credits: dict[int, int] = {}  # by slot

    def add(self, worker_id: int) -> None:
        """The worker may be chosen."""
        if worker_id not in self._idle:
            self._idle[worker_id] = self._weights.get(self._workers.slot(worker_id), 1)

    def remove(self, worker_id: int) -> None:
        """It may not; its credit stays."""
        self._idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        """Return the idle worker with the most credit."""
        if not self._idle:
            return None
        for worker_id, weight in self._idle.items():
            slot = self._workers.slot(worker_id)
            self._credits[slot] = self._credits.get(slot, 0) + weight
        chosen = max(self._idle, key=self._rank)
        self._credits[self._workers.slot(chosen)] -= sum(self._idle.values())
        del self._idle[chosen]
        return chosen

    def _rank(self, worker_id: int) -> tuple[bool, int]:
        return self._idle[worker_id] > 0, self._credits[self._workers.slot(worker_id)]
