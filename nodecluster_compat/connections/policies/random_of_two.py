"""Look at two idle workers at random, and deal to the one with fewer connections ("power of two choices").

As good as least connections with many workers, and looks at the counts of two.
Source: M. Mitzenmacher, *The Power of Two Choices in Randomized Load Balancing*, 2001.
"""

from __future__ import annotations

import random

from ...base.mixing import below, stepped
from ...base.records import Connection
from .base import IdleLine, Workers

__all__ = ["RandomOfTwo"]


class RandomOfTwo(IdleLine, twin=2):
    """The idle workers, of which any two are looked at.

    Args:
        workers: asked how many connections each has.
        seed: of the choices, 64 bits; ``None``: any.
    """

    __slots__ = ("_state", "_workers")

    def __init__(self, workers: Workers, seed: int | None = None) -> None:
        super().__init__()
        self._workers = workers
        self._state = random.getrandbits(64) if seed is None else seed

    def choose(self, connection: Connection) -> int | None:
        """Return the one of two with fewer connections."""
        idle = list(self._idle)
        if not idle:
            return None
        place = self._below(len(idle))
        chosen = idle[place]
        if len(idle) > 1:
            other = self._below(len(idle) - 1)
            other += other >= place  # any but the first
            chosen = min(chosen, idle[other], key=self._workers.connections)
        del self._idle[chosen]
        return chosen

    def _below(self, count: int) -> int:
        self._state = stepped(self._state)
        return below(self._state, count)
