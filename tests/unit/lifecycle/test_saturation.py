"""When a worker's threads are all stuck, and when they just have much to do."""

from __future__ import annotations

from nodecluster_compat.base.records import NO_LOAD, Load
from nodecluster_compat.lifecycle.saturation import Saturation, SaturationWatch


def test_threads_that_end_nothing_while_somebody_waits_are_saturated() -> None:
    """Once an episode; in the worker or in the primary; until one of them has answered."""
    watch = SaturationWatch()
    assert watch.observe(Load(10.0, 1), 0, 11.0, 5.0) is None
    assert watch.observe(Load(10.0, 0), 0, 20.0, 5.0) is None  # nobody waits
    assert watch.observe(Load(10.0, 0), 2, 21.0, 5.0) == Saturation("saturated", 11.0)
    assert watch.observe(Load(10.0, 0), 2, 22.0, 5.0) is None
    assert watch.observe(Load(30.0, 3), 2, 31.0, 5.0) == Saturation("relieved", 20.0)
    assert watch.observe(Load(30.0, 3), 0, 36.0, 5.0) == Saturation("saturated", 6.0)
    assert watch.observe(NO_LOAD, 0, 40.0, 5.0) == Saturation("relieved", 10.0)


def test_threads_that_answer_are_not() -> None:
    """However busy they are; nor is anybody without a limit."""
    watch = SaturationWatch()
    assert [watch.observe(Load(float(now), 9), 9, now + 1.0, 5.0) for now in range(1, 60)] == [None] * 59
    assert watch.observe(Load(1.0, 9), 9, 1000.0, 0.0) is None
