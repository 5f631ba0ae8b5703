"""Keeps the roster of running workers: ages, generations, and who is on the way out.  Pure bookkeeping.

gunicorn numbers its workers by *age* and knows nothing of generations; a worker of another class (after a
reload that changed ``worker_class``) has no handle here and counts as listening from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field

from ..roles.worker_handle import WorkerHandle
from .restarts import Trial
from .rollout import Rollout
from .steps import Bounds, Member, Step, missing, recycle, roll
from .way_out import WayOut

__all__ = ["Crew", "Mate"]

_LEAVERS, _LEAVERS_PER_PLACE = 8, 2


@dataclass(slots=True)
class Mate:
    """One running worker process.

    Attributes:
        started: when it was forked.
        listening_since: when it first said that it serves; ``None`` before.
        way_out: how far it has come on its way out; its handle's, where it has one.
    """

    age: int
    pid: int
    generation: int
    handle: WorkerHandle | None
    started: float = 0.0
    listening_since: float | None = None
    way_out: WayOut = field(default_factory=WayOut)

    def __post_init__(self) -> None:
        if self.handle is not None:
            self.way_out = self.handle.way_out

    @property
    def is_listening(self) -> bool:
        """Whether it serves now; a worker without a channel, of messages or of connections, does not."""
        return self.handle is None or self.handle.can_serve

    def as_member(self) -> Member:
        """Return what supervision needs to know."""
        return Member(self.age, self.generation, self.is_listening, self.way_out.is_ending, self.way_out.was_due)


class Crew:
    """The workers that run, and the generation that new ones belong to."""

    def __init__(self) -> None:
        self.generation = 0
        self.rollout: Rollout | None = None
        self.has_listened = False  # any worker, ever: the first boot is over
        self._by_pid: dict[int, Mate] = {}

    def add(self, age: int, pid: int, handle: WorkerHandle | None, now: float = 0.0) -> None:
        """A worker was forked; one without a handle cannot say when it listens."""
        self._by_pid[pid] = Mate(age, pid, self.generation, handle, now, now if handle is None else None)

    def remove(self, pid: int) -> Mate | None:
        """A worker was reaped; ``None`` when it is not one of the crew."""
        return self._by_pid.pop(pid, None)

    def with_pid(self, pid: int) -> Mate | None:
        """Return the worker with this pid."""
        return self._by_pid.get(pid)

    @property
    def staying(self) -> list[Mate]:
        """The workers that are not on the way out."""
        return [mate for mate in self._by_pid.values() if not mate.way_out.is_ending]

    @property
    def booting(self) -> list[Mate]:
        """The workers that do not serve yet, and are not on the way out."""
        return [mate for mate in self.staying if mate.listening_since is None]

    @property
    def listening(self) -> list[Mate]:
        """The workers that serve, and are not on the way out."""
        return [mate for mate in self.staying if mate.is_listening]

    @property
    def ending(self) -> int:
        """How many workers are on the way out."""
        return len(self._by_pid) - len(self.staying)

    @property
    def trials(self) -> list[Trial]:
        """What the back-off has to know of the workers."""
        return [Trial(mate.started, mate.listening_since) for mate in self.staying]

    def overstaying(self, target: int) -> list[Mate]:
        """The workers that left by their own wish, did not end, and are too many; the oldest first.

        Each has a successor, so workers that say that they leave, and stay, would fill the machine.  Those that were
        told to end have a limit of time.
        """
        leavers = [mate for mate in self._by_pid.values() if mate.way_out.is_ending and not mate.way_out.was_told]
        leavers.sort(key=lambda mate: mate.age)
        return leavers[: max(0, len(leavers) - _LEAVERS - _LEAVERS_PER_PLACE * target)]

    def listens(self, worker: WorkerHandle, now: float) -> None:
        """The worker has said that it serves."""
        mate = self._by_pid.get(worker.process.pid or 0)
        if mate is not None and mate.listening_since is None:
            mate.listening_since = now
            self.has_listened = True

    def missing(self, target: int) -> int:
        """How many workers of the current generation must be started."""
        members = [mate.as_member() for mate in self._by_pid.values()]
        if self.rollout is None:
            return recycle(members, target, self.generation).start
        return missing(members, target, self.generation)

    def next_step(self, target: int, bounds: Bounds) -> Step:
        """What to do now; ``bounds`` matter during a rollout only."""
        members = [mate.as_member() for mate in self._by_pid.values()]
        if self.rollout is None:
            return recycle(members, target, self.generation)
        return roll(members, target, self.rollout.before, self.rollout.generation, bounds)

    def pids_of(self, members: Iterable[Member]) -> list[int]:
        """Return the pids of these workers."""
        pids = {mate.age: mate.pid for mate in self._by_pid.values()}
        return [pids[member.age] for member in members]

    # --- rollouts ------------------------------------------------------------------------------

    def begin_rollout(self, number: int, before: int, now: float) -> Rollout:
        """Start a generation; those of before are old from now on."""
        self.generation += 1
        self.rollout = Rollout(number, self.generation, before, now)
        return self.rollout

    def is_rolled_out(self, target: int) -> bool:
        """Whether all workers that stay are of the new generation, and as many listen as there should be."""
        new = sum(1 for mate in self.listening if mate.generation == self.generation)
        return new >= target and all(mate.generation == self.generation for mate in self.staying)

    def has_old_listeners(self) -> bool:
        """Whether a worker of before the rollout serves."""
        return any(mate.generation != self.generation for mate in self.listening)

    def give_up_rollout(self, target: int, *, keeps_new: bool = True) -> list[int]:
        """Keep the old generation; return the pids of the new workers to end.

        Args:
            target: how many workers there should be.
            keeps_new: new ones that listen stay where old ones have left already: they are all there is.  Of no use
                are those that listen on other sockets than the old ones.
        """
        rejected = self.generation
        needed = target - sum(1 for mate in self.staying if mate.generation != rejected) if keeps_new else 0
        new = sorted((mate for mate in self.staying if mate.generation == rejected), key=lambda mate: mate.age)
        kept = [mate for mate in new if mate.is_listening][: max(0, needed)]
        self.rollout = None
        self.generation += 1
        for mate in self.staying:
            if mate.generation != rejected or mate in kept:
                mate.generation = self.generation
        return [mate.pid for mate in new if mate not in kept]

    def stand_in(self, leaver: Mate) -> WorkerHandle | None:
        """Return the worker that has taken the place of one that was replaced, ``None`` for a vacancy.

        A Node program forks in its ``exit`` handler.  When the worker that exits was retired, its successor
        runs already, and that is the worker the program asks for.
        """
        if not leaver.way_out.is_ending and leaver.generation == self.generation:
            return None
        heirs = [mate for mate in self.staying if mate.handle is not None]
        return max(heirs, key=lambda mate: mate.age).handle if heirs else None
