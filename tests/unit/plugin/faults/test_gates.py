"""Who is let go at a step that is held."""

from __future__ import annotations

import os
import threading
from collections.abc import Iterator

import pytest

from pytest_cluster.faults.gates import Gate
from pytest_cluster.journal.journal import Journal
from pytest_cluster.wire.records import Hello, Reached

FIRST, SECOND = (Hello("", worker, 1000 + worker, measured=False) for worker in (1, 2))


class Released:
    """What a gate has let go: process and its numbers for the calls."""

    def __init__(self) -> None:
        self.calls: list[tuple[int, tuple[int, ...]]] = []
        self._changed = threading.Condition()

    def __call__(self, pid: int, arrivals: tuple[int, ...]) -> None:
        with self._changed:
            self.calls.append((pid, arrivals))
            self._changed.notify_all()

    def wait(self, count: int) -> list[tuple[int, tuple[int, ...]]]:
        with self._changed:
            assert self._changed.wait_for(lambda: len(self.calls) >= count, 10)
            return self.calls


@pytest.fixture
def journal() -> Iterator[Journal]:
    reading, writing = os.pipe()
    made = Journal(reading)
    yield made
    os.close(writing)
    assert made.join(10)


def test_release_lets_go_who_waits_and_nobody_twice(journal: Journal) -> None:
    released = Released()
    gate = Gate("shop:pay", released, journal)
    for hello, arrival in ((FIRST, 1), (SECOND, 1), (FIRST, 2)):
        gate.reached(hello, Reached(7, arrival, "shop:pay"))
    gate.release()
    gate.release()
    assert released.calls == [(FIRST.pid, (1, 2)), (SECOND.pid, (1,))]


def test_barrier_lets_go_exactly_those_that_make_it_full(journal: Journal) -> None:
    """One that comes while the others are let go waits for a partner of its own."""
    released = Released()
    gate = Gate("request", released, journal, parties=2)
    for hello, arrival in ((FIRST, 1), (SECOND, 1), (FIRST, 2)):
        gate.reached(hello, Reached(7, arrival, "request"))
    assert sorted(released.wait(2)) == [(FIRST.pid, (1,)), (SECOND.pid, (1,))]

    gate.reached(SECOND, Reached(7, 2, "request"))
    assert sorted(released.wait(4)[2:]) == [(FIRST.pid, (2,)), (SECOND.pid, (2,))]
    assert [one.worker for one in gate.arrivals] == [1, 2, 1, 2]
