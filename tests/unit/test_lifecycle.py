"""The table of a worker's life, and the arithmetic of supervision."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.errors import IllegalTransition
from nodecluster_compat.lifecycle import TRANSITIONS, Lifecycle, State, Step
from nodecluster_compat.supervision import Member, missing, surplus


def test_whole_life_follows_the_table() -> None:
    """The states come in Node's order."""
    life = Lifecycle()
    assert life.state == "none"
    steps: list[Step] = ["online", "listening", "listening", "disconnect", "exit"]
    assert [life.advance(step) for step in steps] == ["online", "listening", "listening", "disconnected", "dead"]


@pytest.mark.parametrize(
    ("state", "step"), [pair for pair in product(get_args(State), get_args(Step)) if pair not in TRANSITIONS]
)
def test_illegal_move_raises_and_changes_nothing(state: State, step: Step) -> None:
    """What the table does not have does not happen."""
    life = Lifecycle()
    life._state = state
    with pytest.raises(IllegalTransition):
        life.advance(step)
    assert life.state == state


def member(age: int, generation: int = 0, *, listening: bool = True, ending: bool = False) -> Member:
    return Member(age, generation, listening, ending)


def test_missing_counts_only_those_that_stay_in_this_generation() -> None:
    """Old and ending workers fill no place."""
    crew = [member(1), member(2, ending=True), member(3, 1)]
    assert missing(crew, 3, 1) == 2
    assert missing(crew, 3, 0) == 2
    assert missing(crew, 0, 1) == 0


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
def test_retiring_never_leaves_fewer_listening_than_the_target(crew: list[Member], target: int) -> None:
    """Whatever the crew, retiring keeps enough that listen, or all that did."""
    retired = surplus(crew, target)
    before = [m for m in crew if m.listening and not m.ending]
    after = [m for m in before if m not in retired]
    assert len(after) >= min(len(before), target)
    assert all(not m.ending for m in retired)
    assert len([m for m in crew if not m.ending]) - len(retired) >= min(target, len([m for m in crew if not m.ending]))
