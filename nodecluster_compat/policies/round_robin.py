"""Round robin as Node does it: first idle, first served.

Source: Node's ``SCHED_RR``; ``reference/node-cluster-spec`` §3.2.  Not strict rotation: a worker
returns to the end of the line when it has *acknowledged* its last connection, so a blocked worker is
passed over instead of waited for.

A worker acknowledges before it serves, so one that stands in the line may be computing, and what it is given then waits
for the end of that.  Where it is known who computes, such a worker keeps its place and the next one is chosen.
"""

from __future__ import annotations

from collections.abc import Callable
from itertools import islice
from typing import Final

from ..records import Connection

__all__ = ["RoundRobin"]

_MOST_ASKED: Final = 4  # for one connection


class RoundRobin:
    """A line of idle workers; the one that waited longest is chosen.

    Args:
        is_computing: whether a worker could not take a connection at once; asked only while there is a choice.
            ``None``: nobody knows, as in Node.
    """

    __slots__ = ("_idle", "_is_computing")

    def __init__(self, is_computing: Callable[[int], bool] | None = None) -> None:
        # A dict is an ordered set with O(1) removal from the middle.
        self._idle: dict[int, None] = {}
        self._is_computing = is_computing

    def add(self, worker_id: int) -> None:
        """Put the worker at the end of the line, unless it already stands in it."""
        self._idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        """Take the worker out of the line."""
        self._idle.pop(worker_id, None)

    def choose(self, connection: Connection) -> int | None:
        """Return the first worker in line that does not compute, else the first; ``None`` when nobody is idle."""
        idle = self._idle
        if len(idle) > 1 and self._is_computing is not None:
            return self._choose_free(self._is_computing)
        for worker_id in idle:
            del idle[worker_id]
            return worker_id
        return None

    def _choose_free(self, is_computing: Callable[[int], bool]) -> int:
        asked = list(islice(self._idle, _MOST_ASKED))
        chosen = next((worker_id for worker_id in asked if not is_computing(worker_id)), asked[0])
        del self._idle[chosen]
        return chosen
