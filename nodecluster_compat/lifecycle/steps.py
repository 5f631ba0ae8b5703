"""Compute how many workers to start and which to retire: arithmetic on facts, no processes.

Invariants:

* Retiring never takes the number of listening workers below the target less ``max_unavailable``, so a reload keeps
  the old generation serving until its successors listen.
* While no worker of the new generation listens, nothing is known of it: the floor is then the larger of the two
  targets, and a configuration that asks for fewer workers retires nobody on trust.
* Outside a rollout ``max_unavailable`` is nobody's business: the floor is the target.
* A worker that is due leaves when ``target`` others listen: recycling never costs capacity, and at most one worker more
  than ``target`` stays.

Rejected: gunicorn's rule (kill the oldest as soon as the new ones are forked), which leaves nobody to
take a connection while the new workers import the application.  The two bounds and their names are those of a
Kubernetes Deployment's rolling update.
"""

from __future__ import annotations

from collections.abc import Iterable

from msgspec import Struct

__all__ = ["Bounds", "Member", "Step", "missing", "recycle", "roll", "surplus"]


class Member(Struct, frozen=True):
    """One worker that runs, as supervision needs to know it.

    Attributes:
        age: gunicorn's counter; larger is younger.
        generation: the number of reloads before it was started.
        listening: it has said that it serves.
        ending: it was told to end, or said that it will.
        due: it is to be replaced although nothing is wrong.
    """

    age: int
    generation: int
    listening: bool
    ending: bool
    due: bool = False


class Bounds(Struct, frozen=True):
    """How far a rollout may leave the number of workers that there should be.

    Attributes:
        max_surge: workers above it, at most.
        max_unavailable: listening workers below it, at most.  One of the two is above 0.
    """

    max_surge: int
    max_unavailable: int


class Step(Struct, frozen=True):
    """The next step: start so many workers, retire these, oldest first."""

    start: int
    retire: tuple[Member, ...]


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
    return _retire(staying, staying, target)


def recycle(members: Iterable[Member], target: int, generation: int) -> Step:
    """Return the next step outside of a rollout: keep the number, and replace workers that are due, one at a time.

    The oldest that is due counts as missing, so its successor is started, and goes when ``target`` others listen.  The
    next one's turn comes when that has ended.

    Args:
        members: the workers that run.
        target: how many there should be.
        generation: of those that are started.
    """
    members = list(members)
    outgoing = _outgoing(members)
    others = [m for m in members if m is not outgoing]
    retire = surplus(others, target)
    listening = sum(m.listening and not m.ending for m in others) - sum(m.listening for m in retire)
    if outgoing is not None and listening >= target:
        retire.insert(0, outgoing)
    return Step(missing(others, target, generation), tuple(retire))


def _outgoing(members: list[Member]) -> Member | None:
    due = [m for m in members if m.due]
    if not due or any(m.ending for m in due):
        return None
    return min(due, key=lambda m: m.age)


def roll(members: Iterable[Member], target: int, before: int, generation: int, bounds: Bounds) -> Step:
    """Return the next step of a rollout.

    Args:
        members: the workers of every generation that run.
        target: how many of ``generation`` there should be in the end.
        before: how many workers there should have been when the rollout began.
        generation: the new one; every other is old.
        bounds: how far from ``target`` it may go on the way.
    """
    staying = sorted((m for m in members if not m.ending), key=lambda m: m.age)
    new = [m for m in staying if m.generation == generation]
    old = [m for m in staying if m.generation != generation]
    largest = max(target, before)
    proven = not target or any(m.listening for m in new)
    floor = max(0, (target if proven else largest) - bounds.max_unavailable)
    # New ones beyond the target (TTOU meanwhile) go as well, after the old.
    retire = _retire(staying, old + new[: max(0, len(new) - target)], floor)
    room = largest + bounds.max_surge - (len(staying) - len(retire))
    return Step(max(0, min(target - len(new), room)), tuple(retire))


def _retire(staying: list[Member], candidates: list[Member], floor: int) -> list[Member]:
    count = len(staying)
    listening = sum(1 for m in staying if m.listening)
    retired: list[Member] = []
    for member in candidates:
        if count <= floor or (member.listening and listening <= floor):
            break
        count -= 1
        listening -= member.listening
        retired.append(member)
    return retired
