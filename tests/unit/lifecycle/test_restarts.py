"""Back-off, intensity and recovery: a clock that the tests turn, and no chance."""

from __future__ import annotations

import heapq
from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.lifecycle.restarts import PROBATION, UNLIMITED, RestartPolicy, Restarts, Trial

POLICY = RestartPolicy(delay=1.5, max_delay=30.0, stable=10.0, intensity=3, period=30.0)


def restarts(chance: float = 0.0) -> Restarts:
    return Restarts(POLICY, lambda: chance)


def forks_of_a_crash_loop(workers: int, boot: float, life: float, until: float, chance: float = 0.0) -> list[float]:
    """When workers are forked that listen after ``boot`` seconds and die ``life`` seconds later, always."""
    faults = restarts(chance)
    running: list[tuple[float, float]] = []  # (death, fork), soonest death first
    forks: list[float] = []
    now = 0.0
    while now < until:
        while running and running[0][0] <= now:
            heapq.heappop(running)
            faults.fault(now, life)
        roster = [Trial(fork, fork + boot if fork + boot <= now else None) for _, fork in running]
        faults.observe(now, roster)
        for _ in range(min(workers - len(running), faults.allowed(now, roster))):
            heapq.heappush(running, (now + boot + life, now))
            forks.append(now)
        now += 0.05
    return forks


@given(st.integers(1, 4), st.floats(0.0, 3.0), st.floats(0.0, 1.0), st.floats(0.0, 0.99))
def test_crash_loop_is_never_a_fork_storm(workers: int, boot: float, life: float, chance: float) -> None:
    """At most five forks in the first thirty seconds, the first generation included, and few ever after."""
    forks = forks_of_a_crash_loop(workers, boot, life, 330.0, chance)
    assert len([one for one in forks if one < 30.0]) <= max(5, workers)
    assert len([one for one in forks if one >= 30.0]) <= 11


def test_attempts_never_end() -> None:
    """There is nobody above to give up to: the pause has a bound."""
    forks = forks_of_a_crash_loop(1, 0.0, 0.1, 600.0)
    assert forks[-1] > 560.0
    assert max(after - before for before, after in pairwise(forks)) < 31.0


def test_sound_worker_is_replaced_at_once() -> None:
    """Ten seconds of service are proof enough."""
    faults = restarts()
    faults.fault(100.0, 10.0)
    assert faults.allowed(100.0, []) == UNLIMITED
    assert not faults.is_backing_off


def test_pause_doubles_up_to_its_bound_and_jitter_only_adds() -> None:
    """1.5, 3, 6, 12, 24, 30, 30, ... and a quarter more at most."""
    for chance, factor in ((0.0, 1.0), (1.0, 1.25)):
        faults, pauses = restarts(chance), []
        for n in range(7):
            faults.fault(1000.0 * n, 0.0)
            pauses.append(faults.hold_until - 1000.0 * n)
        assert pauses == [one * factor for one in (1.5, 3.0, 6.0, 12.0, 24.0, 30.0, 30.0)]


def test_after_the_pause_they_come_back_as_in_slow_start() -> None:
    """One, then as many as vouch for others."""
    faults = restarts()
    faults.fault(0.0, 0.0)
    assert faults.allowed(1.0, []) == 0
    assert faults.allowed(1.6, []) == 1
    first = Trial(1.6, 2.0)
    assert faults.allowed(2.0 + PROBATION - 0.1, [first]) == 0
    assert faults.allowed(2.0 + PROBATION, [first]) == 1
    assert faults.allowed(7.0, [first, Trial(4.0, 4.5)]) == 2
    assert faults.allowed(7.0, [first, Trial(4.0, 4.5), Trial(7.0, None)]) == 1


def test_more_faults_than_the_intensity_within_the_period_degrade_once() -> None:
    """Told once, and healed by a worker that was started afterwards and proved sound."""
    faults = restarts()
    assert [faults.fault(float(n), 0.0) for n in range(6)] == [False, False, False, True, False, False]
    assert faults.recent_faults(5.0) == 6
    assert not faults.observe(40.0, [Trial(-100.0, -99.0)])
    assert not faults.observe(40.0, [Trial(35.0, 36.0)])
    assert faults.is_degraded
    assert faults.observe(46.0, [Trial(35.0, 36.0)])
    assert not faults.observe(47.0, [Trial(35.0, 36.0)])
    assert not faults.is_degraded
    assert faults.allowed(47.0, []) == UNLIMITED
    assert faults.recent_faults(47.0) == 0


def test_faults_that_are_far_apart_do_not_degrade() -> None:
    """Intensity is a rate."""
    faults = restarts()
    assert not any(faults.fault(11.0 * n, 60.0) for n in range(50))


def test_slow_imports_that_all_fail_degrade() -> None:
    """However long each attempt takes: no worker has been sound in between."""
    faults = restarts()
    assert [faults.fault(120.0 * n, 0.0) for n in range(5)] == [False, False, False, True, False]
    assert faults.observe(700.0, [Trial(600.0, 690.0)])
    assert not faults.fault(800.0, 0.0)


def test_long_pause_is_no_proof() -> None:
    """Time alone resets nothing, nor does a worker that is older than the last fault."""
    faults = restarts()
    faults.fault(0.0, 0.0)
    faults.observe(1000.0, [Trial(-50.0, -49.0), Trial(999.0, None)])
    assert faults.is_backing_off


def test_retry_now_lifts_the_pause_and_begins_again() -> None:
    """What may have been the cause has changed."""
    faults = restarts()
    for n in range(5):
        faults.fault(float(n), 0.0)
    faults.retry_now()
    assert faults.allowed(5.0, []) == UNLIMITED
    assert faults.is_degraded
    faults.fault(6.0, 0.0)
    assert faults.hold_until == 7.5


def test_killed_worker_that_had_listened_is_replaced_at_once() -> None:
    """SIGKILL comes from outside."""
    faults = restarts()
    for n in range(300):
        faults.killed(0.2 * n, True)
        assert faults.allowed(0.2 * n, []) == UNLIMITED


def test_killed_while_booting_waits_a_little() -> None:
    """The kernel may be short of memory: a pause of its own, which the next worker that listens ends."""
    faults = restarts()
    for n in range(10):
        faults.killed(10.0 * n, False)
    assert faults.hold_until == 92.0
    assert faults.allowed(91.0, []) == 0
    faults.observe(95.0, [Trial(93.0, 94.0)])
    faults.killed(96.0, False)
    assert faults.hold_until == 96.1


def test_workers_that_are_all_killed_while_booting_degrade() -> None:
    """Also beside one that has served for long; a younger one that proves sound heals."""
    faults, told = restarts(), []
    for n in range(12):
        told.append(faults.killed(2.0 * n, False))
        faults.observe(2.0 * n + 1.0, [Trial(-100.0, -99.0)])
    assert [n for n, degraded in enumerate(told) if degraded] == [8]
    assert faults.hold_until == 24.0
    assert not faults.observe(35.0, [Trial(24.0, 25.5)])
    assert faults.observe(36.0, [Trial(24.0, 25.5)])
    assert not faults.killed(40.0, False)


def test_program_may_replace_a_roster_that_has_just_begun() -> None:
    """All leave, none has served; what counts is whether their successors stay."""
    faults = restarts()
    for n in range(8):
        assert not faults.left_at_once(1.0 + n, 0.1 * n, 1.0)
    assert faults.allowed(9.0, []) == UNLIMITED
    assert (faults.recent_faults(9.0), faults.is_backing_off) == (0, False)


def test_successors_that_leave_at_once_back_off_and_degrade() -> None:
    """As a crash loop."""
    faults = restarts()
    faults.left_at_once(1.0, 0.0, 0.5)
    told = [faults.left_at_once(float(n), n - 0.5, 0.1) for n in range(2, 7)]
    assert told == [False, False, False, True, False]
    assert faults.is_backing_off
    assert faults.allowed(6.5, []) == 0


def test_worker_that_has_stayed_may_leave() -> None:
    """Stable is stable; and a successor that proves sound ends what the first of them began."""
    faults = restarts()
    for n in range(50):
        faults.left_at_once(20.0 * n, 20.0 * n - 11.0, 10.0)
    assert faults.recent_faults(1000.0) == 0
    faults.left_at_once(1000.0, 999.0, 0.5)
    faults.observe(1020.0, [Trial(1001.0, 1002.0)])
    faults.left_at_once(1030.0, 1025.0, 4.0)
    assert faults.recent_faults(1030.0) == 0


def test_retry_now_forgets_who_left() -> None:
    """A reload starts workers that may leave."""
    faults = restarts()
    faults.left_at_once(1.0, 0.0, 0.5)
    faults.retry_now()
    faults.left_at_once(3.0, 2.0, 0.5)
    assert faults.recent_faults(3.0) == 0


def test_worker_that_fails_in_a_request_is_replaced_at_once() -> None:
    """However often that happens: one input that crashes its worker stops nobody else."""
    faults = restarts()
    for number in range(100):
        faults.fault(100.0 + 3.0 * number, PROBATION, in_use=True)
        assert faults.allowed(100.0 + 3.0 * number, []) == UNLIMITED
    assert not faults.is_backing_off
    assert faults.is_degraded


def test_requests_that_end_each_worker_cost_a_second_at_most() -> None:
    """Of a flood of them each worker dies as it begins; the next ones are not put off by each death."""
    faults = restarts()
    now, pauses = 100.0, []
    for _ in range(20):
        for _ in range(4):
            faults.fault(now, 0.0, in_use=True)
        pauses.append(faults.hold_until - now)
        now = faults.hold_until
        assert faults.allowed(now, []) == UNLIMITED
    assert round(pauses[0], 3) == 0.1
    assert pauses == sorted(pauses)
    assert round(pauses[-1], 3) == 1.0


def test_worker_that_lives_on_ends_the_short_pauses() -> None:
    """The next one that fails in a request is the first again."""
    faults = restarts()
    for now in (100.0, 101.0, 102.0):
        faults.fault(now, 0.0, in_use=True)
    faults.observe(105.0, [Trial(102.5, 103.0)])
    faults.fault(106.0, 1.0, in_use=True)
    assert faults.hold_until == 106.1


def test_failing_in_a_request_is_not_what_heals_a_crash_loop() -> None:
    """The pause of workers that fail by themselves is neither shortened nor doubled by it."""
    faults = restarts()
    faults.fault(100.0, 0.0)
    faults.fault(100.5, 5.0, in_use=True)
    assert faults.hold_until == 101.5
    assert faults.is_backing_off
