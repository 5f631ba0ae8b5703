"""Limits of booting and of leaving, on a loop whose calls the test makes."""

from __future__ import annotations

import gc
import logging
import signal
import time
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import worker_limits
from nodecluster_compat._gunicorn.arbiter.worker_limits import KILL_MARGIN, WorkerLimits
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.lifecycle.roster import Roster, RosterEntry
from nodecluster_compat.lifecycle.way_out import WayOut


class Server:
    """A roster, and what is done to it."""

    def __init__(self) -> None:
        self.roster = Roster()
        self.killed: list[tuple[int, int]] = []
        self.hurried: list[int] = []
        self.later: list[tuple[float, Any, Any]] = []
        loop: Any = SimpleNamespace(call_later=lambda seconds, call, *args: self.later.append((seconds, call, args)))
        log: Any = logging.getLogger("nodecluster_compat.tests.limits")
        self.asked: list[int] = []
        self.limits = WorkerLimits(
            loop, log, self.roster, lambda pid, number: self.killed.append((pid, number)), self.examine
        )

    def examine(self, worker: Any, tell: Callable[[str], None]) -> None:
        self.asked.append(worker.process.pid)
        tell("at the import of slow")

    def add(self, pid: int, started: float) -> RosterEntry:
        handle: Any = SimpleNamespace(
            way_out=WayOut(),
            can_serve=False,
            close_idle=lambda: self.hurried.append(pid),
            process=SimpleNamespace(pid=pid),
        )
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


def test_who_boots_for_long_is_told_once_unless_a_limit_is_set(
    server: Server, caplog: pytest.LogCaptureFixture, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Where the import stands, and by which name a limit is set; nobody serves instead, so nobody is ended."""
    monkeypatch.setattr(worker_limits, "condition_of", lambda pid: "sleeping")
    server.add(7, time.monotonic() - 1000)
    server.add(8, time.monotonic() - 100)
    for _ in range(2):
        server.limits.turn(None, 2)
    assert (server.killed, server.asked) == ([], [7])
    assert "setup_primary(boot_timeout=...)" in caplog.text
    assert "at the import of slow" in caplog.text


@pytest.mark.parametrize(("before", "ended"), [(10.0, [130, 260]), (100.0, [260])])
def test_reload_has_a_limit_of_twice_the_longest_boot(server: Server, before: float, ended: list[int]) -> None:
    """At least 120 seconds."""
    now = time.monotonic()
    first = server.add(1, now - before)
    assert first.handle is not None
    server.roster.listens(first.handle, now)
    server.roster.begin_rollout(1, 0, now)
    for seconds in (130, 260):
        server.add(seconds, now - seconds)
    server.limits.turn(None, 1)
    assert [pid for pid, number in server.killed if number == signal.SIGABRT] == ended


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


def test_limits_of_a_worker_that_has_ended_keep_nothing_of_it(server: Server) -> None:
    """They may be half a minute away, and thousands may end meanwhile."""
    loop = Loop(logging.getLogger("nodecluster_compat.tests.limits"))
    server.limits._loop = loop
    ended = [server.add(pid, 0.0) for pid in range(1, 9)]
    for entry in ended:
        server.limits.limit_end(entry, 30.0, "graceful_timeout")
        server.limits.limit_end(entry, 5.0, "5 s")
        server.roster.remove(entry.pid)
        server.limits.gone(entry.pid)
    # An entry has slots and no weak references: who still refers to one of them is asked instead.
    assert [holder for entry in ended for holder in gc.get_referrers(entry) if isinstance(holder, tuple)] == []
    loop.close()


def test_worker_that_has_ended_takes_nobody_along(server: Server) -> None:
    """Its pid may be another's by then."""
    server.limits.limit_end(server.add(7, 0.0), 3.0, "graceful_timeout")
    server.roster.remove(7)
    server.add(7, 0.0)
    server.let_time_pass()
    assert server.killed == []


def test_too_many_that_drain_are_hurried_and_those_that_stay_are_killed(
    server: Server, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The oldest, once; one that a signal told to end has a limit of its own."""
    now = [1000.0]
    monkeypatch.setattr(worker_limits.time, "monotonic", lambda: now[0])
    leavers = [server.add(pid, now[0]) for pid in range(1, 14)]
    for one in leavers:
        one.way_out.leave()
    leavers[0].way_out.tell()
    for _ in range(2):
        server.limits.turn(0, 1)
    assert (server.hurried, server.killed) == ([1, 2, 3], [])
    now[0] += 2.0
    server.roster.remove(3)
    server.limits.turn(0, 1)
    assert (server.hurried, server.killed) == ([1, 2, 3], [(2, signal.SIGKILL)])
