"""Plan faults from a seed, and find the fewest of its faults that still do harm.

Pure: what happens at a step follows from the seed and the step's number alone, so a plan needs no length, and a part of
it is the same faults as in the whole.
"""

from __future__ import annotations

import random
from collections.abc import Callable, Iterator, Sequence
from dataclasses import dataclass

__all__ = ["KINDS", "ChaosFault", "fault_at", "shrink"]

KINDS = (
    *("kill", "stop", "disconnect", "restart", "pause", "slow", "reload"),
    *("cut", "cut_connections", "late_messages", "late_connections", "bad_network"),
)
"""What can be done at a step; :mod:`pytest_cluster.clusters.chaos` does it."""

SLOW_SECONDS = (0.01, 0.2)


@dataclass(frozen=True, slots=True)
class ChaosFault:
    """What happens at one step."""

    step: int
    """From 1."""
    kind: str
    choice: float
    """Which worker, 0 to below 1 of those that listen then, by their ids."""
    seconds: float
    """How slow requests are, where that is the kind."""

    def __str__(self) -> str:
        return f"step {self.step}: {self.kind}"


def fault_at(seed: int, step: int, kinds: Sequence[str]) -> ChaosFault:
    """Return what happens at a step of the plan of *seed*."""
    numbers = random.Random(f"{seed}:{step}")  # noqa: S311 - no secret
    kind = kinds[int(numbers.random() * len(kinds))]
    return ChaosFault(step, kind, numbers.random(), round(numbers.uniform(*SLOW_SECONDS), 3))


def shrink(steps: Sequence[int], fails: Callable[[tuple[int, ...]], bool], attempts: int) -> tuple[int, ...]:
    """Return as few of *steps* as could be found with which it still fails: larger parts are left out first.

    :param fails: tries it.
    :param attempts: how often at most.
    """
    left, size = tuple(steps), len(steps)
    while left and size:
        smaller = next((one for one in _without(left, size) if (attempts := attempts - 1) >= 0 and fails(one)), None)
        if attempts < 0:
            return left if smaller is None else smaller
        if smaller is None:
            size //= 2
        else:
            left, size = smaller, min(size, len(smaller))
    return left


def _without(steps: tuple[int, ...], size: int) -> Iterator[tuple[int, ...]]:
    for first in range(0, len(steps), size):
        yield steps[:first] + steps[first + size :]
