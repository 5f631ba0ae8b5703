"""How late a loop turns, and when it stands still."""

from __future__ import annotations

import math

import pytest

from nodecluster_compat.base.records import NO_BEAT, Beat, checked
from nodecluster_compat.lifecycle.loop_lag import BEAT_SECONDS, WINDOW_SECONDS, Change, LagMeter, LoopWatch, lag_at


def test_loop_that_turns_in_time_has_no_lag() -> None:
    """Its beats come when they are due."""
    meter = LagMeter(100.0)
    for count in range(1, 9):
        now = 100.0 + count * BEAT_SECONDS
        assert meter.turn(now) == Beat(now, 0.0)


def test_lag_is_remembered_for_a_while() -> None:
    """The worst of this window and of the one before."""
    meter = LagMeter(0.0)
    late = BEAT_SECONDS + 2.0
    assert meter.turn(late).lag == pytest.approx(2.0)
    now = late
    lags = []
    while now < late + 3 * WINDOW_SECONDS:
        now += BEAT_SECONDS
        lags.append(meter.turn(now).lag)
    assert lags[0] == pytest.approx(2.0)
    assert lags[int(WINDOW_SECONDS / BEAT_SECONDS)] == pytest.approx(2.0)
    assert lags[-1] == pytest.approx(0.0)


def test_lag_of_a_loop_that_stands_still_grows() -> None:
    """Nobody has to say so."""
    beat = Beat(10.0, 0.5)
    assert lag_at(beat, 10.0 + BEAT_SECONDS) == 0.5
    assert lag_at(beat, 13.0 + BEAT_SECONDS) == pytest.approx(3.0)
    assert lag_at(NO_BEAT, 13.0) == 0.0


def test_blocked_and_unblocked_are_told_once() -> None:
    """An episode has a beginning and an end, whatever happens between."""
    watch = LoopWatch()
    beat = Beat(10.0, 0.0)
    assert watch.observe(beat, 10.2, 1.0) is None
    assert watch.observe(beat, 11.0 + BEAT_SECONDS, 1.0) == Change("blocked", 1.0)
    assert watch.observe(beat, 12.0, 1.0) is None
    assert watch.observe(Beat(14.0 + BEAT_SECONDS, 4.0), 20.0, 1.0) == Change("unblocked", 4.0)
    assert watch.observe(Beat(14.0 + BEAT_SECONDS, 4.0), 14.3, 1.0) is None


def test_length_of_a_block_is_not_that_of_a_longer_one_before() -> None:
    """A lag that is remembered may be older than this episode."""
    watch = LoopWatch()
    watch.observe(Beat(10.0, 9.0), 12.0, 1.0)
    assert watch.observe(Beat(12.25, 9.0), 12.25, 1.0) == Change("unblocked", 2.0)


def test_watch_that_is_off_tells_nothing() -> None:
    """And one whose worker has not begun, neither."""
    watch = LoopWatch()
    assert watch.observe(Beat(10.0, 0.0), 1000.0, 0.0) is None
    assert watch.observe(NO_BEAT, 1000.0, 1.0) is None


@pytest.mark.parametrize("turned", [math.nan, math.inf, -1.0, 0.0])
@pytest.mark.parametrize("lag", [math.nan, math.inf, -1.0, 0.5])
def test_beats_that_cannot_be_are_none(turned: float, lag: float) -> None:
    """A worker may write anything there."""
    assert checked(turned, lag) == NO_BEAT
    assert checked(turned, 0.5) == NO_BEAT
    assert checked(3.0, 0.5) == Beat(3.0, 0.5)
