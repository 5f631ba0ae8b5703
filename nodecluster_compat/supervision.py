"""How many workers to start and which to retire: arithmetic on facts, no processes.

Invariant: retiring never takes the number of listening workers below the target, so a reload keeps
the old generation serving until its successors listen, with no state of its own to get wrong.
Rejected: gunicorn's rule (kill the oldest as soon as the new ones are forked), which leaves nobody to
take a connection while the new workers import the application.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

__all__ = ["Member", "missing", "surplus"]


@dataclass(frozen=True, slots=True)
class Member:
    """What supervision needs to know of one worker that runs.

    Attributes:
        age: gunicorn's counter; larger is younger.
        generation: the number of reloads before it was started.
        listening: it has said that it serves.
        ending: it was told to end, or said that it will.
    """

    age: int
    generation: int
    listening: bool
    ending: bool


def missing(members: Iterable[Member], target: int, generation: int) -> int:
    """Return how many workers of ``generation`` must be started to have ``target`` of them."""
    staying = sum(1 for m in members if m.generation == generation and not m.ending)
    return max(0, target - staying)


def surplus(members: Iterable[Member], target: int) -> list[Member]:
    """Return the workers to retire now, oldest first.

    The oldest goes first, and nobody goes before it: when retiring it would leave fewer than ``target``
    that listen, all stay until a younger one listens.
    """
    staying = sorted((m for m in members if not m.ending), key=lambda m: m.age)
    listening = sum(1 for m in staying if m.listening)
    excess = len(staying) - target
    retired: list[Member] = []
    for member in staying:
        if len(retired) >= excess:
            break
        if member.listening:
            if listening <= target:
                break
            listening -= 1
        retired.append(member)
    return retired
