"""When connections that wait for a further request end."""

from __future__ import annotations

from collections.abc import Callable

import pytest

from nodecluster_compat.asyncio_runtime import idle_connections
from nodecluster_compat.asyncio_runtime.idle_connections import LINGER_SECONDS, SWEEP_SECONDS, IdleConnections

KEEPALIVE = 5.0


class Connection:
    def __init__(self, *, sent: bool = False) -> None:
        self.sent = sent
        self.is_open = True

    def has_sent(self) -> bool:
        return self.sent

    def end_wait(self) -> None:
        self.is_open = False


class Clock:
    """Time that passes when a test says so, and calls what is due."""

    def __init__(self) -> None:
        self.now = 100.0
        self.calls: list[tuple[float, Callable[[], None]]] = []

    def __call__(self) -> float:
        return self.now

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        self.calls.append((self.now + seconds, callback))

    def pass_by(self, seconds: float) -> None:
        end = self.now + seconds
        while due := [call for call in self.calls if call[0] <= end]:
            first = min(due, key=lambda call: call[0])
            self.calls.remove(first)
            self.now = first[0]
            first[1]()
        self.now = end


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    monkeypatch.setattr(idle_connections, "monotonic", clock)
    return clock


def test_one_ends_after_its_time_and_one_more_look(clock: Clock) -> None:
    """Never before; and the timer runs only while somebody waits."""
    idle = IdleConnections(clock.call_later, KEEPALIVE)
    first, second = Connection(), Connection()
    idle.note(first)
    clock.pass_by(1)
    idle.note(second)
    clock.pass_by(KEEPALIVE - 1 - SWEEP_SECONDS / 2)
    assert first.is_open
    clock.pass_by(SWEEP_SECONDS * 3)
    assert (first.is_open, second.is_open) == (False, True)
    clock.pass_by(2)
    assert not second.is_open
    assert clock.calls == []


def test_one_that_was_answered_again_waits_anew(clock: Clock) -> None:
    """Its request ends the wait."""
    idle = IdleConnections(clock.call_later, KEEPALIVE)
    one = Connection()
    idle.note(one)
    clock.pass_by(KEEPALIVE - 1)
    idle.forget(one)
    idle.note(one)
    clock.pass_by(KEEPALIVE - 1)
    assert one.is_open
    assert len(idle) == 1
    idle.forget(one)
    clock.pass_by(KEEPALIVE)
    assert one.is_open


def test_end_of_the_server_ends_what_is_idle(clock: Clock) -> None:
    """At once, or when its client has had a moment for the request that may be on its way."""
    idle = IdleConnections(clock.call_later, KEEPALIVE)
    old, sending, new, later = Connection(), Connection(sent=True), Connection(), Connection()
    idle.note(old)
    idle.note(sending)
    clock.pass_by(LINGER_SECONDS)
    idle.note(new)
    idle.end()
    assert (old.is_open, sending.is_open, new.is_open) == (False, True, True)
    idle.note(later)
    clock.pass_by(LINGER_SECONDS + 2 * SWEEP_SECONDS)
    assert (sending.is_open, new.is_open, later.is_open) == (True, False, False)


def test_limit_of_the_drain_waits_for_nobody(clock: Clock) -> None:
    """But for a request that has come."""
    idle = IdleConnections(clock.call_later, KEEPALIVE)
    one, sending = Connection(), Connection(sent=True)
    idle.note(one)
    idle.note(sending)
    idle.end(linger=0)
    assert (one.is_open, sending.is_open) == (False, True)
    assert sending in idle
