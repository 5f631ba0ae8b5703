"""Timers with a clock that only writes down."""

from __future__ import annotations

import math
from typing import Any

import pytest

from nodecluster_compat import cluster
from nodecluster_compat.base.arguments import MOST_SECONDS, checked_seconds
from nodecluster_compat.base.timers import TimeoutOverflowWarning, Timer, seconds_of
from nodecluster_compat.errors import ArgumentError
from nodecluster_compat.sharing.leader import checked_period


class Notes:
    """A clock that starts nothing."""

    def __init__(self) -> None:
        self.started: list[float] = []
        self.changes = 0

    def start(self, timer: Timer, seconds: float) -> None:
        timer.clock = self
        timer.start_number += 1
        self.started.append(seconds)

    def changed(self, _: Timer) -> None:
        self.changes += 1


def test_an_interval_begins_again_when_it_has_returned() -> None:
    """Not before; a callback that took longer than the interval is followed at once."""
    clock, seen = Notes(), list[int]()
    timer = Timer(lambda: seen.append(len(clock.started)), (), None, 60, repeats=True)
    clock.start(timer, 60)
    timer.fire()
    timer.seconds = 0
    timer.fire()
    assert seen == [1, 2]
    assert 0 < clock.started[1] <= 60
    assert clock.started[2] == 0


def test_an_interval_that_is_cancelled_or_refreshed_in_its_callback_is_not_begun_twice() -> None:
    """Both count."""
    clock = Notes()
    timer = Timer(print, (), None, 60, repeats=True)
    timer.callback = timer.cancel
    clock.start(timer, 60)
    timer.fire()
    timer.fire()
    assert clock.started == [60]
    again = Timer(print, (), None, 60, repeats=True)
    again.callback = again.refresh
    clock.start(again, 60)
    again.fire()
    assert clock.started == [60, 60, 60]


def test_what_a_timer_is_told_its_clock_hears() -> None:
    """ref, unref, cancel; before it was started nobody has to hear."""
    clock = Notes()
    timer = Timer(print, (), None, 1, holds=True)
    timer.unref().refresh()
    clock.start(timer, 1)
    assert not timer.has_ref()
    timer.ref()
    timer.close()
    timer.refresh()
    assert (clock.changes, clock.started) == (2, [1])


@pytest.mark.parametrize("given", [2**31, 1e12, 10**400, math.inf], ids=["bits", "float", "whole", "infinity"])
def test_delay_that_is_too_long_for_node_is_one_millisecond(given: float) -> None:
    """With a warning, as there: a timer of thirty days fires at once."""
    with pytest.warns(TimeoutOverflowWarning, match="does not fit into a 32-bit signed integer"):
        assert seconds_of(given) == 0.001


@pytest.mark.parametrize(
    ("given", "seconds"), [(None, 0.001), (0, 0.001), (-5, 0.001), (100, 0.1), (2.5, 0.0025), (2**31 - 1, 2147483.647)]
)
def test_delays_are_milliseconds(given: object, seconds: float) -> None:
    """At least one, as in Node."""
    assert seconds_of(given) == seconds


@pytest.mark.parametrize("given", ["100", True, math.nan, [1], print])
def test_what_is_no_delay_is_refused(given: object) -> None:
    """Where the call is made, by a sentence."""
    with pytest.raises(ArgumentError, match="expected a delay in milliseconds"):
        seconds_of(given)


@pytest.mark.parametrize("given", [10**400, 1e300, math.inf], ids=["whole", "float", "infinity"])
def test_the_longest_time(given: float) -> None:
    """Whatever is longer counts as that, where something else than Node's timers waits for it."""
    assert checked_seconds(given) == MOST_SECONDS
    assert checked_seconds(-given) == 0
    if given != math.inf:
        assert checked_period(given) == MOST_SECONDS


@pytest.mark.parametrize("given", [None, 100, "print"])
def test_what_cannot_be_called_is_refused(given: Any) -> None:
    """Seconds first, as ``call_later`` has them, is refused as well."""
    with pytest.raises(ArgumentError, match=r"first argument of set_timeout\(callback, milliseconds\), got"):
        cluster.set_timeout(given, 100)


@pytest.mark.parametrize(("given", "got"), [((), (None, None)), ((1,), (1, None)), ((1, 2, 3), (1, 2))])
def test_callback_gets_as_many_arguments_as_it_takes(given: tuple[int, ...], got: tuple[Any, Any]) -> None:
    """As in JavaScript: one function may be the handler of a signal and of a timer."""
    seen: list[Any] = []
    cluster.set_timeout(lambda first, second: seen.append((first, second)), 5, *given).fire()
    cluster.set_interval(lambda: seen.append("none"), 5, *given).fire()
    assert seen == [got, "none"]
