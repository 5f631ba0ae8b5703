"""Keep the roster of running workers: ages, generations, and who is on the way out.  Pure bookkeeping.

gunicorn numbers its workers by *age* and knows nothing of generations; a worker of another class (after a
reload that changed ``worker_class``) has no handle here and counts as listening from the start.
"""

from __future__ import annotations

from collections.abc import Iterable
from itertools import count
from typing import Generic, Protocol, TypeVar

from msgspec import Struct, field

from .restarts import Trial
from .rollout import Rollout
from .steps import Bounds, Member, Step, missing, recycle, roll
from .way_out import WayOut

__all__ = ["Roster", "RosterEntry"]

_LEAVERS, _LEAVERS_PER_PLACE = 8, 2  # that may drain side by side


class _Process(Protocol):
    @property
    def pid(self) -> int | None: ...


class _Handle(Protocol):
    """What the roster asks of a worker's handle."""

    @property
    def process(self) -> _Process: ...

    @property
    def way_out(self) -> WayOut: ...

    @property
    def slot(self) -> int: ...

    @property
    def generation(self) -> int: ...

    @property
    def can_serve(self) -> bool: ...


Handle = TypeVar("Handle", bound=_Handle)


class RosterEntry(Struct, Generic[Handle]):
    """One running worker process.

    Attributes:
        started: when it was forked.
        listening_since: when it first said that it serves; ``None`` before.
        way_out: how far it has come on its way out; its handle's, where it has one.
        due_after: for how many seconds it had listened when it fell due; ``None`` before.
        hurried: when it was asked to drain faster; ``None`` before.
        judged: whether it has been judged that it leaves.
    """

    age: int
    pid: int
    generation: int
    handle: Handle | None
    started: float = 0.0
    listening_since: float | None = None
    way_out: WayOut = field(default_factory=WayOut)
    due_after: float | None = None
    hurried: float | None = None
    judged: bool = False

    def __post_init__(self) -> None:
        if self.handle is not None:
            self.way_out = self.handle.way_out

    @property
    def is_listening(self) -> bool:
        """Whether it serves now; a worker without a channel, of messages or of connections, does not."""
        return self.handle is None or self.handle.can_serve

    @property
    def slot(self) -> int:
        """The place that it fills; 0 without a handle."""
        return 0 if self.handle is None else self.handle.slot

    def as_member(self) -> Member:
        """Return what supervision needs to know."""
        return Member(self.age, self.generation, self.is_listening, self.way_out.is_ending, self.way_out.was_due)


class Roster(Generic[Handle]):
    """The workers that run, and the generation that new ones belong to.

    Attributes:
        generation: of the workers that are started; a reload that fails is a step, too.
        longest_boot: how many seconds a worker has needed, at most, until it listened.
        told_generation: the same as people are told: after a reload that failed it is again the former one.
    """

    def __init__(self) -> None:
        self.generation = 0
        self.told_generation = 0
        self._told_before = 0
        self.rollout: Rollout | None = None
        self.longest_boot = 0.0
        self.has_listened = False  # any worker, ever: the first boot is over
        self._by_pid: dict[int, RosterEntry[Handle]] = {}

    def add(self, age: int, pid: int, handle: Handle | None, now: float = 0.0) -> None:
        """A worker was forked; one without a handle cannot say when it listens."""
        self._by_pid[pid] = RosterEntry(age, pid, self.generation, handle, now, now if handle is None else None)

    def remove(self, pid: int) -> RosterEntry[Handle] | None:
        """A worker was reaped; ``None`` when it is not one of the roster."""
        return self._by_pid.pop(pid, None)

    def with_pid(self, pid: int) -> RosterEntry[Handle] | None:
        """Return the worker with this pid."""
        return self._by_pid.get(pid)

    @property
    def staying(self) -> list[RosterEntry[Handle]]:
        """The workers that are not on the way out."""
        return [entry for entry in self._by_pid.values() if not entry.way_out.is_ending]

    @property
    def booting(self) -> list[RosterEntry[Handle]]:
        """The workers that do not serve yet, and are not on the way out."""
        return [entry for entry in self.staying if entry.listening_since is None]

    @property
    def listening(self) -> list[RosterEntry[Handle]]:
        """The workers that serve, and are not on the way out."""
        return [entry for entry in self.staying if entry.is_listening]

    @property
    def leaving(self) -> list[RosterEntry[Handle]]:
        """The workers that are on the way out, the oldest first."""
        return sorted((entry for entry in self._by_pid.values() if entry.way_out.is_ending), key=lambda one: one.age)

    @property
    def ending(self) -> int:
        """How many workers are on the way out."""
        return len(self._by_pid) - len(self.staying)

    @property
    def with_handles(self) -> list[RosterEntry[Handle]]:
        """The workers that have a handle."""
        return [entry for entry in self._by_pid.values() if entry.handle is not None]

    @property
    def trials(self) -> list[Trial]:
        """What the back-off has to know of the workers."""
        return [Trial(entry.started, entry.listening_since) for entry in self.staying]

    def crowding(self, target: int) -> list[RosterEntry[Handle]]:
        """The workers that are on the way out and too many; the oldest first.

        Each has a successor, and drains as long as its clients have been promised, so those that leave in quick
        succession would fill the machine.
        """
        leavers = self.leaving
        return leavers[: max(0, len(leavers) - _LEAVERS - _LEAVERS_PER_PLACE * target)]

    def listens(self, worker: Handle, now: float) -> None:
        """The worker has said that it serves."""
        entry = self._by_pid.get(worker.process.pid or 0)
        if entry is not None and entry.listening_since is None:
            entry.listening_since = now
            self.longest_boot = max(self.longest_boot, now - entry.started)
            self.has_listened = True

    def next_slot(self) -> int:
        """Return the place of the worker that is started next: the lowest one that nobody is to keep.

        So a successor has the place of the one that it replaces, while that still serves.
        """
        kept = {entry.slot for entry in self.staying if not self._is_replaced(entry)}
        return next(slot for slot in count(1) if slot not in kept)

    def _is_replaced(self, entry: RosterEntry[Handle]) -> bool:
        return entry.way_out.was_due or entry.generation != self.generation

    @property
    def serving_generation(self) -> int:
        """The generation of those that serve, the oldest of two; of those that are started where none serves."""
        serving = [entry.handle.generation for entry in self.listening if entry.handle is not None]
        return min(serving, default=self.told_generation)

    def missing(self, target: int) -> int:
        """How many workers of the current generation must be started."""
        members = [entry.as_member() for entry in self._by_pid.values()]
        if self.rollout is None:
            return recycle(members, target, self.generation).start
        return missing(members, target, self.generation)

    def next_step(self, target: int, bounds: Bounds) -> Step:
        """What to do now; ``bounds`` matter during a rollout only."""
        members = [entry.as_member() for entry in self._by_pid.values()]
        if self.rollout is None:
            return recycle(members, target, self.generation)
        return roll(members, target, self.rollout.before, self.rollout.generation, bounds)

    def pids_of(self, members: Iterable[Member]) -> list[int]:
        """Return the pids of these workers."""
        pids = {entry.age: entry.pid for entry in self._by_pid.values()}
        return [pids[member.age] for member in members]

    # --- rollouts ------------------------------------------------------------------------------

    def begin_rollout(self, number: int, before: int, now: float) -> Rollout:
        """Start a generation; earlier ones are old from now on."""
        if self.rollout is None:
            self._told_before = self.told_generation
        self.generation += 1
        self.told_generation = self.generation
        self.rollout = Rollout(number, self.generation, before, now)
        return self.rollout

    def is_rolled_out(self, target: int) -> bool:
        """Whether all workers that stay are of the new generation, and as many listen as there should be."""
        new = sum(1 for entry in self.listening if entry.generation == self.generation)
        return new >= target and all(entry.generation == self.generation for entry in self.staying)

    def has_old_listeners(self) -> bool:
        """Whether a worker from before the rollout serves."""
        return any(entry.generation != self.generation for entry in self.listening)

    def give_up_rollout(self, target: int, *, keeps_new: bool = True) -> list[int]:
        """Keep the old generation; return the pids of the new workers to end.

        Args:
            target: how many workers there should be.
            keeps_new: new ones that listen stay where old ones have left already: they are all there is.  Of no use
                are those that listen on other sockets than the old ones.
        """
        rejected = self.generation
        needed = target - sum(1 for entry in self.staying if entry.generation != rejected) if keeps_new else 0
        new = sorted((entry for entry in self.staying if entry.generation == rejected), key=lambda entry: entry.age)
        kept = [entry for entry in new if entry.is_listening][: max(0, needed)]
        self.rollout = None
        self.told_generation = self._told_before
        self.generation += 1
        for entry in self.staying:
            if entry.generation != rejected or entry in kept:
                entry.generation = self.generation
        return [entry.pid for entry in new if entry not in kept]

    def stand_in(self, leaver: RosterEntry[Handle]) -> Handle | None:
        """Return the worker that has taken the place of one that was replaced, ``None`` for a vacancy.

        A Node program forks in its ``exit`` handler.  When the worker that exits was retired, its successor
        runs already, and that is the worker the program asks for.
        """
        if not leaver.way_out.is_ending and leaver.generation == self.generation:
            return None
        heirs = [entry for entry in self.staying if entry.handle is not None]
        return max(heirs, key=lambda entry: entry.age).handle if heirs else None
