"""A listener whose workers are all busy leaves clients to the backlog for a moment, and loses none for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator

import pytest
from engine_rig import EngineRig
from manual_clock import ManualClock

from nodecluster_compat.base.native import PYTHON, in_force
from nodecluster_compat.connections.listener import Listener

pytestmark = pytest.mark.usefixtures("no_leaks")

ENOUGH = 16
CLIENTS = 40
SECOND = 1.0


class Rig(EngineRig):
    """One listener and one worker, which takes nothing unless it is told."""

    def __init__(self, in_python: bool) -> None:
        self.clock = ManualClock(100.0)
        super().__init__(False, PYTHON if in_python else in_force(), clock=self.clock, limit=2 * CLIENTS)
        self.engine.listeners.remove(self.listener_ids.pop())
        self.first = self.worker()

    @property
    def listener(self) -> Listener:
        return self.engine.listeners[self.listener_ids[0]]

    def names_of_taken(self) -> list[object]:
        names: list[object] = []
        for fd in self.first.has:
            taken = socket.socket(fileno=fd)
            names.append(taken.getpeername())
            taken.detach()
        return names


@pytest.fixture(params=["c", "python"])
def rig(request: pytest.FixtureRequest) -> Iterator[Rig]:
    if request.param == "c" and in_force().module is None:
        pytest.skip("there is no C extension here")
    made = Rig(request.param == "python")
    yield made
    made.close()


def test_enough_wait_here_and_the_others_in_the_backlog(rig: Rig) -> None:
    for _ in range(CLIENTS):
        rig.connect()
    assert rig.waiting() == ENOUGH
    assert rig.listener.holds_back


def test_all_are_dealt_in_the_order_in_which_they_came(rig: Rig) -> None:
    for _ in range(CLIENTS):
        rig.connect()
    while rig.first.has_offer():
        rig.first.take()
        rig.turn()
    assert rig.names_of_taken() == [client.getsockname() for client in rig.clients]
    assert not rig.listener.holds_back
    rig.connect()
    assert rig.first.has_offer()


def test_worker_that_takes_nothing_leaves_no_client_in_the_backlog(rig: Rig) -> None:
    """What waits here is counted, and may be refused in time; the backlog is bounded."""
    for _ in range(CLIENTS):
        rig.connect()
    while rig.waiting() < CLIENTS - 1:
        rig.clock.now += SECOND / 1000
        rig.turn()
    assert not rig.listener.holds_back


def test_second_worker_gets_at_once_what_was_held_back(rig: Rig) -> None:
    for _ in range(CLIENTS):
        rig.connect()
    second = rig.worker()
    assert second.has_offer()


def test_short_backlog_is_not_used_for_it(rig: Rig) -> None:
    rig.socks[0].listen(CLIENTS)
    for _ in range(CLIENTS):
        rig.connect()
    assert rig.waiting() == CLIENTS - 1


def test_listener_that_holds_back_and_stops_takes_its_backlog(rig: Rig) -> None:
    for _ in range(CLIENTS):
        rig.connect()
    rig.listener.stop_accepting(take_backlog=True)
    assert rig.waiting() == CLIENTS - 1
    assert not rig.listener.holds_back
