"""The arithmetic of supervision: how many to start, whom to retire."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.lifecycle.steps import Bounds, Member, Step, missing, recycle, roll, surplus


def member(age: int, generation: int = 0, *, listening: bool = True, ending: bool = False, due: bool = False) -> Member:
    return Member(age, generation, listening, ending, due)


def test_missing_counts_only_those_that_stay_in_this_generation() -> None:
    """Old and ending workers fill no place."""
    members = [member(1), member(2, ending=True), member(3, 1)]
    assert missing(members, 3, 1) == 2
    assert missing(members, 3, 0) == 2
    assert missing(members, 0, 1) == 0


def test_old_generation_stays_until_the_new_one_listens() -> None:
    """A reload retires nobody before a successor listens, and then the oldest."""
    old = [member(1), member(2)]
    assert surplus([*old, member(3, 1, listening=False), member(4, 1, listening=False)], 2) == []
    assert [m.age for m in surplus([*old, member(3, 1), member(4, 1, listening=False)], 2)] == [1]
    assert [m.age for m in surplus([*old, member(3, 1), member(4, 1)], 2)] == [1, 2]


def test_one_less_retires_the_oldest() -> None:
    """TTOU takes the oldest."""
    assert [m.age for m in surplus([member(3), member(1), member(2)], 2)] == [1]


def test_target_zero_retires_everybody() -> None:
    """WINCH leaves nobody."""
    assert len(surplus([member(1), member(2, listening=False)], 0)) == 2


members = st.builds(Member, st.integers(1, 9), st.integers(0, 2), st.booleans(), st.booleans())


@given(st.lists(members, max_size=9, unique_by=lambda m: m.age), st.integers(0, 6))
def test_retiring_never_leaves_fewer_listening_than_the_target(members: list[Member], target: int) -> None:
    """Whatever the members, retiring keeps enough that listen, or all that did."""
    retired = surplus(members, target)
    before = [m for m in members if m.listening and not m.ending]
    after = [m for m in before if m not in retired]
    assert len(after) >= min(len(before), target)
    assert all(not m.ending for m in retired)
    assert len([m for m in members if not m.ending]) - len(retired) >= min(
        target, len([m for m in members if not m.ending])
    )


@given(st.lists(members, max_size=9, unique_by=lambda m: m.age), st.integers(0, 6))
def test_retired_are_the_oldest_that_stay_and_in_that_order(members: list[Member], target: int) -> None:
    """Nobody is retired before somebody older who stays."""
    retired = surplus(members, target)
    staying = sorted((m for m in members if not m.ending), key=lambda m: m.age)
    assert retired == staying[: len(retired)]


@given(st.lists(members, max_size=9, unique_by=lambda m: m.age), st.integers(0, 6), st.integers(0, 2))
def test_missing_and_surplus_do_not_fight(members: list[Member], target: int, generation: int) -> None:
    """What was started for a target is never retired for the same target while nothing else changed."""
    age = max((m.age for m in members), default=0)
    count = missing(members, target, generation)
    started = [Member(age + n, generation, listening=True, ending=False) for n in range(1, count + 1)]
    retired = surplus([*members, *started], target)
    assert not set(retired) & set(started)
    assert missing([*members, *started], target, generation) == 0


@given(st.lists(members, max_size=9, unique_by=lambda m: m.age), st.integers(0, 6))
def test_retiring_is_done_at_once(members: list[Member], target: int) -> None:
    """Asked again with those retired on their way out, there is nothing more to do."""
    retired = surplus(members, target)
    after = [Member(m.age, m.generation, m.listening, m.ending or m in retired) for m in members]
    assert surplus(after, target) == []


def test_oldest_that_does_not_listen_goes_before_younger_ones_that_do() -> None:
    """A worker that never came up is the cheapest to lose, when it is the oldest."""
    stuck = member(1, listening=False)
    assert surplus([stuck, member(2), member(3)], 2) == [stuck]


def test_nobody_is_retired_without_surplus() -> None:
    """At or under the target everybody stays."""
    assert surplus([member(1), member(2)], 2) == []
    assert surplus([], 3) == []


@given(
    st.integers(0, 6),
    st.integers(0, 6),
    st.integers(0, 3),
    st.integers(0, 3),
    st.lists(st.integers(0, 50), max_size=200),
)
def test_rollout_keeps_its_bounds_and_ends(
    before: int, target: int, surge: int, unavailable: int, order: list[int]
) -> None:
    """Whoever listens first: never more than the surge allows, never fewer that listen, and in the end all are new."""
    bounds = Bounds(surge or int(not unavailable), unavailable)
    members = [member(age) for age in range(before)]
    highest, lowest = max(before, target) + bounds.max_surge, min(before, target) - unavailable
    for turn in range(100):
        step = roll(members, target, before, 1, bounds)
        members = [one for one in members if one not in step.retire]
        members += [member(1000 * (turn + 1) + n, 1, listening=False) for n in range(step.start)]
        assert len(members) <= highest
        assert sum(one.listening for one in members) >= lowest
        booting = [one for one in members if not one.listening]
        if booting:
            chosen = booting[(order[turn % len(order)] if order else 0) % len(booting)]
            members[members.index(chosen)] = member(chosen.age, 1)
    assert len(members) == target
    assert {one.generation for one in members} <= {1}


def test_rollout_retires_nobody_on_trust() -> None:
    """Fewer workers are asked for, and the new generation has not listened yet."""
    old = [member(age) for age in range(4)]
    assert roll(old, 2, 4, 1, Bounds(1, 0)) == Step(1, ())
    assert roll([*old, member(9, 1, listening=False)], 2, 4, 1, Bounds(1, 0)) == Step(0, ())
    assert roll([*old, member(9, 1)], 2, 4, 1, Bounds(1, 0)) == Step(1, tuple(old[:3]))


def test_rollout_fills_the_place_of_an_old_worker_that_died_with_a_new_one() -> None:
    """A crash on the way is no reason to wait."""
    assert roll([member(1), member(5, 1, listening=False)], 2, 2, 1, Bounds(1, 0)).start == 1


def test_rollout_without_surge_makes_room_first() -> None:
    """max_unavailable alone: one leaves, one comes."""
    old = [member(1), member(2)]
    assert roll(old, 2, 2, 1, Bounds(0, 1)) == Step(1, (old[0],))
    assert roll([old[1], member(3, 1, listening=False)], 2, 2, 1, Bounds(0, 1)) == Step(0, ())


def test_due_worker_leaves_when_its_successor_listens() -> None:
    """First one more is started; nobody goes while that boots; then the one that is due, not the oldest."""
    members = [member(1), member(2, due=True)]
    assert recycle(members, 2, 0) == Step(1, ())
    assert recycle([*members, member(3, listening=False)], 2, 0) == Step(0, ())
    assert recycle([*members, member(3)], 2, 0) == Step(0, (members[1],))


def test_due_workers_take_turns() -> None:
    """The oldest first; the next one when that has ended, not when it drains."""
    first, second = member(1, due=True), member(2, due=True)
    assert recycle([first, second], 2, 0) == Step(1, ())
    assert recycle([first, second, member(3)], 2, 0) == Step(0, (first,))
    gone = member(1, due=True, ending=True)
    assert recycle([gone, second, member(3)], 2, 0) == Step(0, ())
    assert recycle([second, member(3)], 2, 0) == Step(1, ())


def test_due_worker_is_the_one_that_a_smaller_number_takes() -> None:
    """TTOU while one is due: nothing is started for it."""
    members = [member(1), member(2, due=True)]
    assert recycle(members, 1, 0) == Step(0, (members[1],))


def test_successor_that_ends_is_started_again() -> None:
    """The due worker serves on, and counts as missing until somebody has taken its place."""
    members = [member(1), member(2, due=True), member(3, ending=True)]
    assert recycle(members, 2, 0) == Step(1, ())


mixed = st.builds(Member, st.integers(1, 9), st.just(0), st.booleans(), st.booleans(), st.booleans())


@given(st.lists(mixed, max_size=9, unique_by=lambda m: m.age), st.integers(0, 6))
def test_recycling_keeps_the_number_that_listens_and_adds_one_at_most(members: list[Member], target: int) -> None:
    """Whatever the members: no capacity is lost, and at most one more than is missing is started."""
    step = recycle(members, target, 0)
    staying = [m for m in members if not m.ending and m not in step.retire]
    listening = [m for m in members if m.listening and not m.ending]
    assert sum(m.listening for m in staying) >= min(len(listening), target)
    assert step.start <= missing(members, target, 0) + 1
    assert not step.start or len(staying) + step.start <= target + 1


@given(st.lists(st.booleans(), min_size=1, max_size=6))
def test_recycling_ends_with_nobody_due(due: list[bool]) -> None:
    """Step after step, with workers that boot and end in between: never below the number, never two above."""
    target = len(due)
    members = [member(age, due=is_due) for age, is_due in enumerate(due, 1)]
    for _ in range(4 * target):
        step = recycle(members, target, 0)
        members = [m for m in members if m not in step.retire and not m.ending]
        members = [Member(m.age, 0, listening=True, ending=False, due=m.due) for m in members]
        youngest = max(m.age for m in members)
        members += [member(youngest + 1 + n, listening=False) for n in range(step.start)]
        members += [member(m.age, ending=True, due=m.due) for m in step.retire]
        assert target <= sum(m.listening and not m.ending for m in members) <= target + 1
    assert not any(m.due for m in members)
