"""The way out of a worker: one table, in which no step leads back."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.lifecycle.way_out import TRANSITIONS, Stage, WayOut, WayOutStep

STAGES: tuple[Stage, ...] = get_args(Stage)
STEPS: tuple[WayOutStep, ...] = get_args(WayOutStep)
ORDER: dict[Stage, int] = {"serving": 0, "due": 1, "overdue": 2, "leaving": 3, "told": 4}


def take(way_out: WayOut, step: WayOutStep) -> object:
    words = {"overrun": ["took too long"], "fall_due": ["it is old"]}.get(step, [])
    return getattr(way_out, step)(*words)


def test_table_has_every_step_of_every_stage_and_none_leads_back() -> None:
    """Whoever asks may ask twice, and any of them may come first."""
    assert set(TRANSITIONS) == set(product(STAGES, STEPS))
    assert set(TRANSITIONS.values()) == set(STAGES) - {"serving"}
    assert all(ORDER[after] >= ORDER[before] for (before, _), after in TRANSITIONS.items())


@pytest.mark.parametrize(
    ("steps", "stage", "is_ending"),
    [
        ([], "serving", False),
        (["fall_due"], "due", False),
        (["fall_due", "leave"], "leaving", True),
        (["leave", "fall_due"], "leaving", True),
        (["leave", "tell"], "told", True),
        (["tell", "leave"], "told", True),
        (["overrun"], "overdue", False),
        (["overrun", "tell"], "told", True),
        (["tell", "overrun"], "told", True),
        (["leave", "overrun"], "leaving", True),
    ],
)
def test_where_a_worker_stands(steps: list[WayOutStep], stage: Stage, is_ending: bool) -> None:
    """The place of a worker is to be filled once its end was asked for, not while it is due or overdue."""
    way_out = WayOut()
    for step in steps:
        take(way_out, step)
    assert (way_out.stage, way_out.is_ending) == (stage, is_ending)


@given(st.lists(st.sampled_from(STEPS), max_size=8))
def test_facts_outlast_the_stage(steps: list[WayOutStep]) -> None:
    """That it was due, and what it overran, is known whatever came after."""
    way_out = WayOut()
    for step in steps:
        take(way_out, step)
    assert way_out.was_due is ("fall_due" in steps)
    assert way_out.due == ("it is old" if "fall_due" in steps else None)
    assert way_out.overran == ("took too long" if "overrun" in steps else None)
    assert way_out.was_told is ("tell" in steps)
    assert way_out.is_ending is bool({"leave", "tell"} & set(steps))


def test_first_telling_is_known() -> None:
    """The limit of time counts from the first signal."""
    way_out = WayOut()
    assert [way_out.tell(), way_out.tell()] == [True, False]
