"""When a worker is due: arithmetic on ages, samples and counts."""

from __future__ import annotations

from typing import Any

from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.lifecycle.recycling import Due, RecyclePolicy, Recycling, requests_of


def recycling(**policy: Any) -> Recycling:
    return Recycling(RecyclePolicy(**policy), lambda: 0.0)


def pids(due: list[Due]) -> list[int]:
    return [one.pid for one in due]


def test_without_limits_nobody_is_ever_due() -> None:
    """Which is the default."""
    watch = recycling()
    assert watch.aged(1e9, {1: 0.0}) == []
    assert [watch.heavy({1: 2**60}) for _ in range(9)] == [[]] * 9
    assert requests_of(RecyclePolicy(requests_jitter=9), lambda: 0.9) == 0


def test_age_counts_from_listening_and_to_the_second() -> None:
    """Not due a moment before, due from then on, with the reason in words."""
    watch = recycling(max_age=10)
    since = {1: 100.0, 2: 105.0}
    assert watch.aged(109.9, since) == []
    assert watch.aged(110.0, since) == [Due(1, "it has listened for 10 s (max_worker_age)")]
    assert pids(watch.aged(115.0, since)) == [1, 2]


def test_share_of_the_jitter_is_drawn_once_for_each_worker() -> None:
    """And again for another worker that has the pid of one that is gone."""
    draws = iter([0.0, 0.5, 0.9])
    watch = Recycling(RecyclePolicy(max_age=10, age_jitter=10), lambda: next(draws))
    since = {1: 0.0, 2: 0.0}
    assert [pids(watch.aged(now, since)) for now in (9.9, 10.0, 14.9, 15.0)] == [[], [1], [1], [1, 2]]
    watch.forget_others([2])
    assert pids(watch.aged(18.9, since)) == [2]
    assert pids(watch.aged(19.0, since)) == [1, 2]


def test_spike_of_memory_is_not_due() -> None:
    """Samples over the limit count in a row only."""
    watch = recycling(max_memory=100, samples=3)
    assert [pids(watch.heavy({1: size})) for size in (101, 101, 100, 101, 101, 101)] == [[]] * 5 + [[1]]


def test_sample_that_could_not_be_taken_changes_nothing() -> None:
    """Neither over nor under."""
    watch = recycling(max_memory=100, samples=2)
    assert watch.heavy({1: 200, 2: 200}) == []
    assert pids(watch.heavy({2: 200})) == [2]
    assert watch.heavy({1: 200}) == [Due(1, "it has 200 bytes in memory, 2 times over max_worker_memory")]


def test_worker_with_the_pid_of_another_starts_anew() -> None:
    """What was counted was not of this one."""
    watch = recycling(max_memory=100, samples=2)
    watch.heavy({1: 200})
    watch.forget_others([])
    assert watch.heavy({1: 200}) == []


@given(st.lists(st.integers(0, 200), max_size=40), st.integers(1, 5))
def test_due_by_memory_is_a_run_of_samples_over_the_limit(sizes: list[int], samples: int) -> None:
    """Exactly then."""
    watch = recycling(max_memory=100, samples=samples)
    for index, size in enumerate(sizes):
        last = sizes[max(0, index + 1 - samples) : index + 1]
        assert bool(watch.heavy({1: size})) == (len(last) == samples and min(last) > 100)


@given(st.integers(1, 10**6), st.integers(0, 1000), st.floats(0, 1, exclude_max=True))
def test_requests_lie_between_the_limit_and_that_with_all_its_jitter(limit: int, jitter: int, share: float) -> None:
    """Both ends included, as with gunicorn's max_requests_jitter."""
    policy = RecyclePolicy(max_requests=limit, requests_jitter=jitter)
    assert limit <= requests_of(policy, lambda: share) <= limit + jitter
