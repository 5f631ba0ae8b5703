"""Limits of booting and of leaving, on a loop whose calls the test makes."""

from __future__ import annotations

import logging
import signal
import time
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter.limits import KILL_MARGIN, Limits
from nodecluster_compat.lifecycle.roster import Roster, RosterEntry
from nodecluster_compat.lifecycle.way_out import WayOut


class Server:
    """A roster, and what is done to it."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.killed: list[tuple[int, int]] = []
        self.later: list[tuple[float, Any, Any]] = []
        loop: Any = SimpleNamespace(call_later=lambda seconds, call, *args: self.later.append((seconds, call, args)))
        log: Any = logging.getLogger("nodecluster_compat.tests.limits")
        self.limits = Limits(loop, log, self.roster, lambda pid, number: self.killed.append((pid, number)))

    def add(self, pid: int, started: float) -> RosterEntry:
        handle: Any = SimpleNamespace(way_out=WayOut(), can_serve=False)
        self.roster.add(pid, pid, handle, started)
        entry = self.roster.with_pid(pid)
        assert entry is not None
        return entry

    def let_time_pass(self) -> None:
        due, self.later = self.later, []
        for _, call, args in due:
            call(*args)


@pytest.fixture
def server() -> Server:
    return Server()


def test_worker_that_boots_for_too_long_is_aborted_then_killed(server: Server) -> None:
    """Once each: SIGABRT lets it say where it is."""
    late = server.add(7, time.monotonic() - 10)
    server.add(8, time.monotonic())
    for _ in range(2):
        server.limits.turn(5.0, 2)
    assert server.killed == [(7, signal.SIGABRT)]
    assert late.way_out.overran == "did not listen within boot_timeout (5 s)"
    server.let_time_pass()
    assert server.killed[1:] == [(7, signal.SIGKILL)]


def test_no_limit_of_booting_is_none(server: Server) -> None:
    """``boot_timeout = 0``."""
    server.add(7, time.monotonic() - 1000)
    server.limits.turn(0, 1)
    assert server.killed == []


def test_worker_that_does_not_end_in_time_is_killed(server: Server) -> None:
    """A moment after the limit, in which it says what it cut."""
    server.limits.limit_end(server.add(7, 0.0), 3.0, "graceful_timeout")
    assert server.later[0][0] == 3.0 + KILL_MARGIN
    server.let_time_pass()
    assert server.killed == [(7, signal.SIGKILL)]


def test_worker_that_has_ended_takes_nobody_along(server: Server) -> None:
    """Its pid may be another's by then."""
    server.limits.limit_end(server.add(7, 0.0), 3.0, "graceful_timeout")
    server.roster.remove(7)
    server.add(7, 0.0)
    server.let_time_pass()
    assert server.killed == []
