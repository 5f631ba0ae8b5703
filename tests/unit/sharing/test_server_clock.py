"""The time of a server, as hosts know it whose own clocks say something else."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodecluster_compat.errors import StoreUnavailable
from nodecluster_compat.sharing.server_clock import KNOWN_SECONDS, ServerClock


class World:
    """Time that the test moves; a question takes as long as the next of ``takes`` says, half of it to get there."""

    def __init__(self) -> None:
        self.now = 5000.0
        self.takes: list[float] = []
        self.asked = 0

    def host(self, ahead: float) -> ServerClock:
        """Of a host whose clock is ahead of the server's."""
        clock: Callable[[], float] = lambda: self.now + ahead  # noqa: E731
        return ServerClock(self._ask, clock)

    def _ask(self) -> float:
        self.asked += 1
        takes = self.takes.pop(0) if self.takes else 0.0
        self.now += takes / 2
        told = self.now
        self.now += takes / 2
        return told


def test_hosts_whose_clocks_differ_have_one_time() -> None:
    """By 50 ms, or by years."""
    world = World()
    hosts = [world.host(ahead) for ahead in (0.0, 0.05, -1e8)]
    for _ in range(100):
        world.now += 1.5
        assert [host.now() for host in hosts] == [pytest.approx(world.now, abs=1e-6)] * 3


def test_the_quickest_question_counts() -> None:
    """It says by how much the time may be wrong."""
    world = World()
    world.takes = [0.4, 0.001, 3.0]
    host = world.host(0.05)
    assert host.now() == pytest.approx(world.now, abs=1e-6)
    assert host.within == pytest.approx(0.0005)


def test_it_is_asked_now_and_then() -> None:
    """Not for each use; and it may be another server, with another clock."""
    world = World()
    host = world.host(0.05)
    for _ in range(100):
        host.now()
        world.now += KNOWN_SECONDS / 200
    assert world.asked == 3
    world.now += KNOWN_SECONDS
    assert host.now() == pytest.approx(world.now, abs=1e-6)
    assert world.asked == 6


def test_a_server_that_cannot_be_asked() -> None:
    """Is told of, as long as it lasts."""
    answers: list[float] = []

    def ask() -> float:
        if not answers:
            raise StoreUnavailable("away")
        return answers[0]

    host = ServerClock(ask, lambda: 100.0)
    with pytest.raises(StoreUnavailable):
        host.now()
    answers.append(7.0)
    assert host.now() == 7.0
