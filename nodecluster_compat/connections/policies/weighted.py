"""Deal to workers in proportion to weights, evenly mixed: nginx's smooth weighted round robin, among idle workers.

Each worker that serves has a credit that grows by its weight at each choice; being chosen costs the sum of the weights.
One that is not idle is passed over, keeps its credit and catches up, within bounds.  A weight belongs to a slot, so
whoever replaces a worker has its weight.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Final

from ...base.records import Connection
from .base import IdleLine, Workers

__all__ = ["WeightedRoundRobin"]

_MOST_ROUNDS: Final = 4  # of credit, that one who was busy catches up


class WeightedRoundRobin(IdleLine, twin=3):
    """The idle workers, of which the one with the most credit is chosen.

    Args:
        workers: asked who serves, and in which slot.
        weights: by slot; 1 where there is none.  One with weight 0 gets nothing while another serves.
    """

    __slots__ = ("_credits", "_weights", "_workers")

    def __init__(self, workers: Workers, weights: Mapping[int, int]) -> None:
        super().__init__()
        self._workers = workers
        self._weights = dict(weights)
        self._credits: dict[int, int] = {}

    def choose(self, connection: Connection) -> int | None:
        """Return the idle worker with the most credit; ``None`` where only those with weight 0 are idle."""
        weights = {one: self._weights.get(self._workers.slot(one), 1) for one in self._workers.serving()}
        total = sum(weights.values())
        idle = [one for one in self._idle if weights.get(one) or not total]
        if not idle:
            return None
        most = _MOST_ROUNDS * total
        self._credits = {one: min(self._credits.get(one, 0) + weight, most) for one, weight in weights.items()}
        chosen = max(idle, key=lambda one: self._credits.get(one, 0))
        self._credits[chosen] = max(self._credits.get(chosen, 0) - total, -most)
        del self._idle[chosen]
        return chosen
