"""Who gets ahead of whom, and how often and for how long anybody may be made to wait for it."""

from __future__ import annotations

import pytest

from nodecluster_compat.connections.turns import EACH, LEAD, MOST_BEHIND, MOST_LEFT, SHARE, Allowance, Turns

FIRST, SECOND, THIRD = 1, 2, 3


def offered(*workers: int) -> Turns:
    turns = Turns()
    for worker_id in workers:
        turns.offered(worker_id)
    return turns


def test_one_is_ahead_that_had_its_lead_since_another_was_offered_what_it_has_not_taken() -> None:
    turns = offered(SECOND, *[FIRST] * (LEAD - 1))
    assert not turns.is_ahead(FIRST, [SECOND])
    turns.offered(FIRST)
    assert turns.is_ahead(FIRST, [SECOND])


def test_what_it_had_before_is_a_lead_as_well() -> None:
    """Or one that is always a little slower would get half of a burst."""
    turns = offered(FIRST, SECOND, FIRST)
    assert turns.is_ahead(FIRST, [SECOND])
    turns.offered(SECOND)
    assert not turns.is_ahead(FIRST, [SECOND])


def test_nobody_has_to_wait_for_more_than_a_few() -> None:
    """Whatever the others had while one was blocked."""
    turns = offered(SECOND, *[FIRST] * 99)
    for _ in range(MOST_BEHIND):
        assert turns.is_ahead(FIRST, [SECOND])
        turns.offered(SECOND)
    assert not turns.is_ahead(FIRST, [SECOND])


def test_worker_that_begins_is_not_behind() -> None:
    assert not offered(SECOND, *[FIRST] * 9, SECOND, THIRD).is_ahead(FIRST, [THIRD])


def test_offer_that_was_taken_back_counts_for_nobody() -> None:
    turns = offered(FIRST, SECOND, FIRST, SECOND)
    turns.taken_back(SECOND)
    turns.taken_back(THIRD)
    turns.offered(SECOND)
    assert not turns.is_ahead(FIRST, [SECOND])
    turns.taken_back(SECOND)
    assert turns.is_ahead(FIRST, [SECOND])


def test_nobody_is_ahead_where_all_have_taken_theirs() -> None:
    assert not offered(SECOND, *[FIRST] * 9).is_ahead(FIRST, [])


def test_one_behind_is_enough() -> None:
    turns = offered(SECOND, *[FIRST] * LEAD, THIRD)
    assert turns.is_ahead(FIRST, [THIRD, SECOND])
    assert not turns.is_ahead(FIRST, [THIRD])


def test_worker_that_was_offered_nothing_yet_is_not_ahead() -> None:
    assert not offered(SECOND).is_ahead(FIRST, [SECOND])


def test_worker_that_is_gone_is_forgotten() -> None:
    turns = offered(SECOND, *[FIRST] * LEAD)
    turns.forget(FIRST)
    turns.forget(FIRST)
    turns.offered(SECOND)
    assert not turns.is_ahead(FIRST, [SECOND])


def times(allowance: Allowance, now: float) -> int:
    """How often workers are made to wait before the allowance is spent, if none waits for long."""
    count = 0
    while allowance.lets_wait(now):
        count += 1
    return count


def test_allowance_is_spent_and_comes_back_as_a_share_of_the_time() -> None:
    allowance = Allowance(0.0)
    assert allowance.lets_wait(0.0)
    allowance.spend(MOST_LEFT + 10 * SHARE)
    assert not allowance.lets_wait(5.0)
    assert allowance.lets_wait(15.0)


def test_allowance_counts_how_often_somebody_waits() -> None:
    """Some thousand times at once, and a few times a second: a machine without a processor to spare feels each."""
    allowance = Allowance(0.0)
    assert times(allowance, 0.0) == pytest.approx(MOST_LEFT / EACH, abs=1)
    assert times(allowance, 10.0) == pytest.approx(10 * SHARE / EACH, abs=1)


def test_allowance_lasts_for_many_bursts_on_a_machine_that_others_keep_busy() -> None:
    """As measured: each takes 1.4 seconds, and makes somebody wait thirty times, for 0.4 seconds in all."""
    allowance, now = Allowance(0.0), 0.0
    for _ in range(120):
        for _ in range(30):
            now += 1.4 / 30
            assert allowance.lets_wait(now)
            allowance.spend(0.4 / 30)


def test_allowance_that_nobody_spends_does_not_grow() -> None:
    allowance = Allowance(0.0)
    assert allowance.lets_wait(1e6)
    allowance.spend(MOST_LEFT)
    assert not allowance.lets_wait(1e6)
