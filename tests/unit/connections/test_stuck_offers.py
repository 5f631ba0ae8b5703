"""Which offers that lie should go to another worker."""

from __future__ import annotations

import pytest

from nodecluster_compat.connections.stuck_offers import StuckOffers
from nodecluster_compat.machine.process_state import Condition


class Offer:
    """An offer that lies with process 4711."""

    def __init__(self) -> None:
        self.worker_id = 7
        self.pid = 4711
        self.age = 0
        self.looks: tuple[tuple[float, float, int], ...] = ()


class Machine:
    """What /proc says, as the test wants it."""

    def __init__(self) -> None:
        self.condition: Condition = "running"
        self.ran = 0.0
        self.answered = -1
        self.stuck = StuckOffers(lambda _: self.condition, lambda _: self.ran, lambda _: self.answered)
        self.offer = Offer()

    def look(self, now: float) -> bool:
        self.offer.age += 1
        return self.stuck.is_stuck(self.offer, now)


@pytest.mark.parametrize("condition", ["sleeping", "in the kernel", "stopped", "dead"])
def test_worker_that_is_not_able_to_run_is_stuck(condition: Condition) -> None:
    """It would have woken up for the offer; one that is a moment old is given its moment."""
    machine = Machine()
    machine.condition = condition
    assert not machine.look(0.001)
    assert machine.look(0.002)


def test_worker_that_computes_is_stuck() -> None:
    """It ran for half of the time at least."""
    machine = Machine()
    assert not machine.look(1.000)
    machine.ran = 0.0004
    assert not machine.look(1.001)
    machine.ran = 0.0012
    assert machine.look(1.002)


def test_worker_that_answers_many_in_one_turn_is_not_stuck() -> None:
    """It takes the offer next; but after a long turn somebody else may."""
    machine = Machine()
    machine.answered = 10
    assert not machine.look(1.000)
    for tick in range(1, 8):
        machine.ran += 0.001
        machine.answered += 3
        assert not machine.look(1 + tick / 1000)
    machine.ran += 0.001
    assert machine.look(1.008)


def test_worker_that_answered_none_since_is_stuck() -> None:
    machine = Machine()
    machine.answered = 10
    assert not machine.look(1.000)
    machine.ran = 0.001
    assert not machine.look(1.0005)
    machine.ran = 0.002
    assert machine.look(1.002)


def test_first_request_may_take_longer() -> None:
    machine = Machine()
    machine.answered = 0
    assert not machine.look(1.000)
    for tick in range(1, 8):
        machine.ran += 0.001
        assert not machine.look(1 + tick / 1000)
    machine.ran += 0.001
    assert machine.look(1.008)


@pytest.mark.parametrize("share", [0.55, 0.7, 0.9])
def test_first_request_that_computes_beside_other_programs_keeps_nobody(share: float) -> None:
    """However little of a processor it gets, if it is half of one."""
    machine = Machine()
    machine.answered = 0
    for tick in range(40):
        if machine.look(1 + tick / 1000):
            break
        machine.ran += share / 1000
    assert 0.008 <= machine.ran <= 0.011


def test_worker_that_had_no_processor_is_not_stuck() -> None:
    """However long."""
    machine = Machine()
    assert not any(machine.look(1 + n / 1000) for n in range(1000))


def test_what_it_ran_before_counts_for_nothing() -> None:
    """Neither in its favour, nor against it: only the last few milliseconds do."""
    machine = Machine()
    assert not machine.look(1.000)
    machine.ran = 5.0
    assert not machine.look(9.000)  # the look is too old to say anything
    assert not machine.look(9.001)
    machine.ran = 5.002
    assert machine.look(9.002)


def test_worker_that_is_looked_at_rarely_is_judged_by_the_older_of_two_looks() -> None:
    """The kernel may not have counted what it ran since the newer one."""
    machine = Machine()
    for now in (1.000, 1.006):
        machine.offer.looks = (*machine.offer.looks, (now, now, -1))
    machine.offer.age, machine.ran = 10, 1.006
    assert machine.look(1.007)


def test_worker_that_served_a_short_request_meanwhile_is_not_stuck() -> None:
    machine = Machine()
    machine.offer.age = 8
    assert not machine.look(1.000)
    machine.ran = 0.001
    assert not machine.look(1.004)
