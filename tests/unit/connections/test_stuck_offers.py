"""Which offers that lie should go to another worker."""

from __future__ import annotations

import pytest

from nodecluster_compat.connections.stuck_offers import StuckOffers
from nodecluster_compat.machine.process_state import Condition


class Machine:
    """What /proc says, as the test wants it."""

    def __init__(self) -> None:
        self.condition: Condition = "running"
        self.ran = 0.0
        self.stuck = StuckOffers(lambda _: self.condition, lambda _: self.ran)

    def look(self, age: int, now: float) -> bool:
        return self.stuck.is_stuck(1, 4711, age, now)


@pytest.mark.parametrize("condition", ["sleeping", "in the kernel", "stopped", "dead"])
def test_worker_that_is_not_able_to_run_is_stuck(condition: Condition) -> None:
    """It would have woken up for the offer; one that is a moment old is given its moment."""
    machine = Machine()
    machine.condition = condition
    assert not machine.look(1, 0.001)
    assert machine.look(2, 0.002)


def test_worker_that_computes_is_stuck() -> None:
    """It ran for half of the time at least."""
    machine = Machine()
    assert not machine.look(1, 1.000)
    machine.ran = 0.0004
    assert not machine.look(2, 1.001)
    machine.ran = 0.0012
    assert machine.look(3, 1.002)


def test_worker_that_had_no_processor_is_not_stuck() -> None:
    """However long."""
    machine = Machine()
    assert not any(machine.look(1 + n, 1 + n / 1000) for n in range(1000))


def test_next_offer_begins_anew() -> None:
    """What it ran before counts for nothing."""
    machine = Machine()
    assert not machine.look(2, 1.000)
    machine.ran = 5.0
    assert not machine.look(1, 2.000)
    assert not machine.look(2, 2.001)
