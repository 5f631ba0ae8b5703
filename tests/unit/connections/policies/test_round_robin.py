"""Round robin: first idle, first served (difference D11: a policy is a small class)."""

from __future__ import annotations

from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.policies import RoundRobin

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
