"""Which processes run for the arbiter: ages, generations, and who is on the way out.  Pure bookkeeping.

gunicorn numbers its workers by *age* and knows nothing of generations; a worker of another class (after a
reload that changed ``worker_class``) has no handle here and counts as listening from the start.
"""

from __future__ import annotations

from dataclasses import dataclass

from .supervision import Member, missing, surplus
from .worker_handle import WorkerHandle

__all__ = ["Crew", "Mate"]


@dataclass(slots=True)
class Mate:
    """One running worker process."""

    age: int
    pid: int
    generation: int
    handle: WorkerHandle | None
    told_to_end: bool = False

    @property
    def is_ending(self) -> bool:
        """Whether it was told to end, or said that it will."""
        return self.told_to_end or (self.handle is not None and self.handle.is_leaving)

    def as_member(self) -> Member:
        """Return what supervision needs to know."""
        listening = self.handle is None or self.handle.state == "listening"
        return Member(self.age, self.generation, listening, self.is_ending)


class Crew:
    """The workers that run, and the generation that new ones belong to."""

    def __init__(self) -> None:
        self.generation = 0
        self._by_pid: dict[int, Mate] = {}

    def add(self, age: int, pid: int, handle: WorkerHandle | None) -> None:
        """A worker was forked."""
        self._by_pid[pid] = Mate(age, pid, self.generation, handle)

    def remove(self, pid: int) -> Mate | None:
        """A worker was reaped; ``None`` when it is not one of the crew."""
        return self._by_pid.pop(pid, None)

    def with_pid(self, pid: int) -> Mate | None:
        """Return the worker with this pid."""
        return self._by_pid.get(pid)

    @property
    def staying(self) -> list[Mate]:
        """The workers that are not on the way out."""
        return [mate for mate in self._by_pid.values() if not mate.is_ending]

    def missing(self, target: int) -> int:
        """How many workers of the current generation must be started."""
        return missing((mate.as_member() for mate in self._by_pid.values()), target, self.generation)

    def to_retire(self, target: int) -> list[int]:
        """The pids of the workers to retire now."""
        pids = {mate.age: mate.pid for mate in self._by_pid.values()}
        return [pids[m.age] for m in surplus((mate.as_member() for mate in self._by_pid.values()), target)]

    def stand_in(self, leaver: Mate) -> WorkerHandle | None:
        """Return the worker that has taken the place of one that was replaced, ``None`` for a vacancy.

        A Node program forks in its ``exit`` handler.  When the worker that exits was retired, its successor
        runs already, and that is the worker the program asks for.
        """
        if not leaver.is_ending and leaver.generation == self.generation:
            return None
        heirs = [mate for mate in self.staying if mate.handle is not None]
        return max(heirs, key=lambda mate: mate.age).handle if heirs else None
