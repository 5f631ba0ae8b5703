"""The roster: who runs, by age and generation, and who is on the way out."""

from __future__ import annotations

from dataclasses import InitVar, dataclass, field
from types import SimpleNamespace

from nodecluster_compat.lifecycle.restarts import Trial
from nodecluster_compat.lifecycle.roster import Roster
from nodecluster_compat.lifecycle.steps import Bounds
from nodecluster_compat.lifecycle.way_out import WayOut


@dataclass
class Handle:
    """What the roster looks at."""

    id: int = 0
    state: str = "listening"
    slot: int = 0
    generation: int = 0
    is_leaving: InitVar[bool] = False
    is_cut_off: bool = False
    way_out: WayOut = field(default_factory=WayOut)
    process: SimpleNamespace = field(default_factory=lambda: SimpleNamespace(pid=None))

    def __post_init__(self, is_leaving: bool) -> None:
        if is_leaving:
            self.way_out.leave()

    @property
    def can_serve(self) -> bool:
        return self.state == "listening" and not self.is_cut_off


def roster_of(*handles: Handle) -> Roster:
    roster = Roster()
    for age, handle in enumerate(handles, 1):
        roster.add(age, 100 + age, handle)  # type: ignore[arg-type]
    return roster


def to_retire(roster: Roster, target: int) -> list[int]:
    return roster.pids_of(roster.next_step(target, Bounds(target, 0)).retire)


def test_rollout_starts_a_generation_and_retires_when_it_listens() -> None:
    """Missing first, then too many, oldest first."""
    new = Handle(3, state="online")
    roster = roster_of(Handle(1), Handle(2))
    roster.begin_rollout(1, 2, 0.0)
    assert roster.next_step(2, Bounds(2, 0)).start == 2
    assert roster.next_step(2, Bounds(1, 0)).start == 1
    roster.add(3, 103, new)  # type: ignore[arg-type]
    roster.add(4, 104, Handle(4))  # type: ignore[arg-type]
    assert to_retire(roster, 2) == [101]
    assert not roster.is_rolled_out(2)
    new.state = "listening"
    assert to_retire(roster, 2) == [101, 102]
    assert roster.has_old_listeners()
    for pid in (101, 102):
        roster.remove(pid)
    assert roster.is_rolled_out(2)
    assert not roster.has_old_listeners()


def test_rollout_that_is_given_up_leaves_the_old_generation() -> None:
    """Whatever is new goes; what was old is the current generation again."""
    roster = roster_of(Handle(1), Handle(2))
    roster.begin_rollout(1, 2, 0.0)
    roster.add(3, 103, Handle(3, state="online"))  # type: ignore[arg-type]
    roster.add(4, 104, Handle(4))  # type: ignore[arg-type]
    assert roster.give_up_rollout(2) == [103, 104]
    for pid in (103, 104):
        entry = roster.with_pid(pid)
        assert entry is not None
        entry.way_out.tell()
    assert roster.rollout is None
    assert roster.missing(2) == 0
    assert to_retire(roster, 2) == []


def test_rollout_that_is_given_up_late_keeps_what_it_needs() -> None:
    """Where an old worker has left already, a new one that listens stays."""
    roster = roster_of(Handle(1), Handle(2))
    roster.begin_rollout(1, 2, 0.0)
    roster.add(3, 103, Handle(3))  # type: ignore[arg-type]
    roster.add(4, 104, Handle(4, state="online"))  # type: ignore[arg-type]
    roster.remove(101)
    assert roster.give_up_rollout(2) == [104]
    roster.remove(104)
    assert roster.missing(2) == 0


def test_roster_knows_since_when_a_worker_listens() -> None:
    """The first time counts, and the first boot is over with it."""
    worker = Handle(1)
    roster = roster_of(worker)
    assert not roster.has_listened
    assert [entry.pid for entry in roster.booting] == [101]
    worker.process.pid = 101
    roster.listens(worker, 5.0)  # type: ignore[arg-type]
    roster.listens(worker, 6.0)  # type: ignore[arg-type]
    assert (roster.has_listened, roster.booting, roster.trials) == (True, [], [Trial(0.0, 5.0)])


def test_leaving_worker_leaves_a_place() -> None:
    """A worker that was told to end, or said so, is replaced at once."""
    roster = roster_of(Handle(1), Handle(2))
    entry = roster.with_pid(101)
    assert entry is not None
    entry.way_out.tell()
    assert roster.missing(2) == 1
    assert [one.pid for one in roster.staying] == [102]


def test_stand_in_is_the_youngest_for_a_retired_worker_and_nobody_for_a_crash() -> None:
    """An exit handler's fork finds the successor of a retired worker, and the vacancy of a crashed one."""
    roster = roster_of(Handle(1, is_leaving=True), Handle(2), Handle(3))
    retired, crashed = roster.remove(101), roster.remove(102)
    assert retired is not None
    assert crashed is not None
    heir = roster.stand_in(retired)
    assert heir is not None
    assert heir.id == 3
    assert roster.stand_in(crashed) is None
    roster.generation += 1
    heir = roster.stand_in(crashed)
    assert heir is not None
    assert heir.id == 3


def test_worker_without_a_handle_counts_as_listening() -> None:
    """Another worker class after a reload."""
    roster = Roster()
    roster.add(1, 100, None)
    assert to_retire(roster, 0) == [100]
    assert roster.missing(1) == 0


def test_unknown_pid_is_nobody() -> None:
    """A child that is no worker is neither found nor removed."""
    roster = roster_of(Handle(1))
    assert roster.with_pid(999) is None
    assert roster.remove(999) is None
    assert roster.missing(1) == 0


def test_removed_worker_leaves_a_place() -> None:
    """A crash is a vacancy at once."""
    roster = roster_of(Handle(1), Handle(2))
    roster.remove(101)
    assert roster.missing(2) == 1


def test_booting_worker_fills_a_place_and_retires_nobody() -> None:
    """Not listening yet is not missing."""
    roster = roster_of(Handle(1), Handle(2, state="online"))
    assert roster.missing(2) == 0
    assert to_retire(roster, 1) == []


def test_stand_in_is_nobody_when_all_leave() -> None:
    """With no worker that stays there is no successor to return."""
    roster = roster_of(Handle(1, is_leaving=True), Handle(2, is_leaving=True))
    leaver = roster.remove(101)
    assert leaver is not None
    assert roster.stand_in(leaver) is None


def test_stand_in_is_never_a_worker_without_a_handle() -> None:
    """A successor of another worker class has nothing that a program could be given."""
    roster = roster_of(Handle(1, is_leaving=True))
    roster.add(2, 102, None)
    leaver = roster.remove(101)
    assert leaver is not None
    assert roster.stand_in(leaver) is None


def test_leavers_that_stay_are_bounded() -> None:
    """Twice the workers and eight more; the oldest are too many, whoever wished that they leave."""
    roster = roster_of(*(Handle(number, is_leaving=number != 14) for number in range(1, 16)))
    assert [entry.pid for entry in roster.crowding(2)] == [101, 102]
    assert roster.crowding(3) == []
    told = roster.with_pid(102)
    assert told is not None
    told.way_out.tell()
    assert [entry.pid for entry in roster.crowding(2)] == [101, 102]


def test_worker_that_cannot_be_given_connections_does_not_count_as_one_that_listens() -> None:
    """It says that it listens, and its channel of connections is closed."""
    roster = roster_of(Handle(1), Handle(2, is_cut_off=True))
    assert [entry.age for entry in roster.listening] == [1]


def born(roster: Roster, age: int, **facts: object) -> Handle:
    """Start a worker, as the arbiter does."""
    handle = Handle(age, slot=roster.next_slot(), generation=roster.told_generation, **facts)
    roster.add(age, 100 + age, handle)  # type: ignore[arg-type]
    return handle


def test_successor_has_the_slot_of_the_one_that_it_replaces() -> None:
    roster = Roster()
    assert [born(roster, age).slot for age in (1, 2, 3)] == [1, 2, 3]
    roster.remove(102)
    assert born(roster, 4).slot == 2
    due = roster.with_pid(103)
    assert due is not None
    due.way_out.fall_due("it is old")
    assert born(roster, 5).slot == 3
    assert born(roster, 6).slot == 4


def test_slots_stay_within_the_number_of_workers_through_a_reload() -> None:
    """Although for a while there are more workers than slots."""
    roster = Roster()
    for age in (1, 2):
        born(roster, age)
    roster.begin_rollout(1, 2, 0.0)
    assert [born(roster, age).slot for age in (3, 4)] == [1, 2]


def test_generation_is_that_of_those_that_serve() -> None:
    """Not that of a reload which is under way, or has failed."""
    roster = Roster()
    born(roster, 1)
    roster.begin_rollout(1, 1, 0.0)
    new = born(roster, 2, state="online")
    assert (new.generation, roster.serving_generation) == (1, 0)
    roster.begin_rollout(2, 1, 0.0)  # supersedes
    newer = born(roster, 3, state="online")
    assert roster.give_up_rollout(1) == [103]
    assert (newer.generation, roster.serving_generation) == (2, 0)
    assert born(roster, 4).generation == 0
    roster.begin_rollout(3, 1, 0.0)
    last = born(roster, 5)
    for pid in (101, 102, 103, 104):
        roster.remove(pid)
    assert roster.serving_generation == last.generation > newer.generation
