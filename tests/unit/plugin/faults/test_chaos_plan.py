"""A plan of faults: the same for the same seed, named in a word, and shrunk to what does the harm."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from pytest_cluster.faults.chaos_plan import KINDS, fault_at, shrink
from pytest_cluster.options.chaos_spec import ChaosSpec, parse_spec


def test_step_of_a_plan_does_not_depend_on_the_others() -> None:
    plan = [fault_at(7, step, KINDS) for step in range(1, 50)]
    assert plan == [fault_at(7, step, KINDS) for step in range(1, 50)]
    assert plan != [fault_at(8, step, KINDS) for step in range(1, 50)]
    assert {one.kind for one in plan} == set(KINDS)
    assert all(0 <= one.choice < 1 for one in plan)


@given(st.integers(0, 10**17), st.none() | st.sets(st.integers(1, 99)).map(lambda one: tuple(sorted(one))))
def test_word_names_the_plan(seed: int, steps: tuple[int, ...] | None) -> None:
    spec = ChaosSpec(seed, steps)
    assert parse_spec(f" {spec} ") == spec


@pytest.mark.parametrize("text", ["", "x", "-1", "4:", "4:1,", "4:a", "1.5", "4:1:2", "9" * 30, "\u0664"])
def test_word_that_names_none(text: str) -> None:
    if text == "4:":
        assert parse_spec(text) == ChaosSpec(4, ())
        return
    with pytest.raises(ValueError, match="expected a seed, as 42, or with the steps that have faults"):
        parse_spec(text)


@given(st.sets(st.integers(1, 12), max_size=3), st.integers(12, 20))
def test_what_is_left_is_what_does_the_harm(needed: set[int], size: int) -> None:
    left = shrink(range(1, size + 1), lambda steps: needed <= set(steps), 1000)
    assert set(left) == needed


@given(st.integers(0, 6), st.sets(st.integers(1, 12), max_size=4))
def test_attempts_are_bounded_and_what_is_left_fails(attempts: int, needed: set[int]) -> None:
    tried: list[tuple[int, ...]] = []

    def fails(steps: tuple[int, ...]) -> bool:
        tried.append(steps)
        return needed <= set(steps)

    left = shrink(range(1, 13), fails, attempts)
    assert len(tried) <= attempts
    assert needed <= set(left)
