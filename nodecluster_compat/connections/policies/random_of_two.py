"""Look at two idle workers at random, and deal to the one with fewer connections ("power of two choices").

As good as least connections with many workers, at a cost that does not grow with them.
Source: M. Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001.
"""

from __future__ import annotations

import random
from collections.abc import Callable

from ...base.records import Connection
from .base import Workers

__all__ = ["RandomOfTwo"]


class RandomOfTwo:
    """The idle workers, of which any two are looked at.

    Args:
        workers: asked how many connections each has.
        below: returns a whole number from 0 to below its argument, at random.
    """

    __slots__ = ("_below", "_idle", "_places", "_workers")

    def __init__(self, workers: Workers, below: Callable[[int], int] = random.randrange) -> None:
        self._workers = workers
        self._below = below
        self._idle: list[int] = []
        self._places: dict[int, int] = {}

    def add(self, worker_id: int) -> None:
        """The worker may be chosen."""
        if worker_id not in self._places:
            self._places[worker_id] = len(self._idle)
            self._idle.append(worker_id)

    def remove(self, worker_id: int) -> None:
        """It may not; the last one takes its place."""
        place = self._places.pop(worker_id, None)
        if place is not None:
            last = self._idle.pop()
            if last != worker_id:
                self._idle[place] = last
                self._places[last] = place

    def choose(self, connection: Connection) -> int | None:
        """Return the one of two with fewer connections."""
        if not self._idle:
            return None
        count = len(self._idle)
        place = self._below(count)
        chosen = self._idle[place]
        if count > 1:
            other = self._below(count - 1)
            other += other >= place  # any but the first
            chosen = min(chosen, self._idle[other], key=self._workers.connections)
        self.remove(chosen)
        return chosen
