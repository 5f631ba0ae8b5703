"""Alternating rounds: every contestant in turn, the order rotating, so that a drift of the machine hits all of them."""

from __future__ import annotations

from collections.abc import Callable, Hashable, Sequence
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
