"""Round robin: first idle, first served (difference D11: a policy is a small class)."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.policies import RoundRobin
from nodecluster_compat.records import Connection

SOME = Connection(0, "")


@given(st.lists(st.integers(min_value=1, max_value=5), max_size=30))
def test_round_robin_is_fair_to_whoever_waits_longest(added: list[int]) -> None:
    """Workers are chosen in the order in which they became idle, each once."""
    policy = RoundRobin()
    for worker_id in added:
        policy.add(worker_id)
    chosen = []
    while (worker_id := policy.choose(Connection(0, ""))) is not None:
        chosen.append(worker_id)
    assert chosen == list(dict.fromkeys(added))


def test_choose_without_idle_workers_is_nobody() -> None:
    """An empty line lets the connection wait."""
    assert RoundRobin().choose(SOME) is None


def test_chosen_worker_stands_in_line_no_more_until_added() -> None:
    """A choice forgets the worker as idle."""
    policy = RoundRobin()
    policy.add(1)
    assert (policy.choose(SOME), policy.choose(SOME)) == (1, None)
    policy.add(1)
    assert policy.choose(SOME) == 1


def test_added_twice_keeps_its_place() -> None:
    """A worker cannot lose or win a place by being added again."""
    policy = RoundRobin()
    for worker_id in (1, 2, 1):
        policy.add(worker_id)
    assert [policy.choose(SOME) for _ in range(3)] == [1, 2, None]


def test_removed_from_the_middle_the_others_keep_their_order() -> None:
    """Removing is possible anywhere, and of workers that are not there."""
    policy = RoundRobin()
    for worker_id in (1, 2, 3):
        policy.add(worker_id)
    policy.remove(2)
    policy.remove(99)
    assert [policy.choose(SOME) for _ in range(3)] == [1, 3, None]


@pytest.mark.parametrize(
    ("computing", "chosen"),
    [
        (set(), [1, 2, 3]),
        ({1}, [2, 3, 1]),
        ({1, 2}, [3, 1, 2]),
        ({2}, [1, 3, 2]),
        ({1, 2, 3}, [1, 2, 3]),
    ],
)
def test_who_computes_keeps_its_place_and_the_next_one_is_chosen(computing: set[int], chosen: list[int]) -> None:
    """As long as there is a next one."""
    policy = RoundRobin(lambda worker_id: worker_id in computing)
    for worker_id in (1, 2, 3):
        policy.add(worker_id)
    assert [policy.choose(SOME) for _ in range(4)] == [*chosen, None]


def test_nobody_is_asked_about_where_there_is_no_choice() -> None:
    """And of many only a few: a look costs the primary something."""
    asked: list[int] = []

    def is_computing(worker_id: int) -> bool:
        asked.append(worker_id)
        return True

    policy = RoundRobin(is_computing)
    policy.add(1)
    assert policy.choose(SOME) == 1
    assert asked == []
    for worker_id in range(10, 30):
        policy.add(worker_id)
    assert policy.choose(SOME) == 10
    assert asked == [10, 11, 12, 13]
