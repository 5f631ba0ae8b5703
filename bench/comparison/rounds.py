"""Alternating rounds: every contestant in turn, the order rotating, so that a drift of the machine hits all of them.

A *set* is one start of every contestant, and the rounds that it has.  How a process lies in memory and what its
compiler made of it stays the same until it ends, and so does what that costs; so several sets are measured.
"""

from __future__ import annotations

from collections.abc import Callable, Hashable, Mapping, Sequence
from typing import TypeVar

Contestant = TypeVar("Contestant", bound=Hashable)
Sample = TypeVar("Sample")


def order_of(contestants: Sequence[Contestant], index: int) -> list[Contestant]:
    """The order of round `index`: rotated by one each time, and backwards in every other one."""
    shift = index // 2 % len(contestants)
    rotated = [*contestants[shift:], *contestants[:shift]]
    return rotated if index % 2 == 0 else rotated[::-1]


def alternate(
    contestants: Sequence[Contestant], measure: Callable[[Contestant], Sample], rounds: int
) -> dict[Contestant, list[Sample]]:
    """So many samples of each contestant."""
    samples: dict[Contestant, list[Sample]] = {contestant: [] for contestant in contestants}
    for index in range(rounds):
        for contestant in order_of(contestants, index):
            samples[contestant].append(measure(contestant))
    return samples


def in_sets(
    contestants: Sequence[Contestant],
    measure_set: Callable[[Sequence[Contestant]], Mapping[Contestant, Sequence[Sample]]],
    sets: int,
) -> dict[Contestant, list[Sample]]:
    """The samples of so many sets, one after the other; `measure_set` starts the contestants in the order given."""
    samples: dict[Contestant, list[Sample]] = {contestant: [] for contestant in contestants}
    for index in range(sets):
        for contestant, some in measure_set(order_of(contestants, index)).items():
            samples[contestant] += some
    return samples
