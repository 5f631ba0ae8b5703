"""The table of a worker's life."""

from __future__ import annotations

from itertools import product
from typing import get_args

import pytest

from nodecluster_compat.errors import IllegalTransition
from nodecluster_compat.lifecycle.states import TRANSITIONS, Lifecycle, State, Step


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


def test_exit_without_disconnect_is_not_in_the_table() -> None:
    """The one way to be dead leads through ``disconnected``, from wherever a worker is."""
    assert [pair for pair, state in TRANSITIONS.items() if state == "dead"] == [("disconnected", "exit")]
    assert {state for state, step in TRANSITIONS if step == "disconnect"} == {"none", "online", "listening"}


def test_dead_worker_takes_no_step() -> None:
    """Nothing leads out of ``dead``."""
    assert not any(state == "dead" for state, _ in TRANSITIONS)


def test_illegal_move_says_where_and_what() -> None:
    """The sentence names the state and the step."""
    with pytest.raises(IllegalTransition, match="a worker that is 'none' cannot take the step 'exit'"):
        Lifecycle().advance("exit")
