"""When another worker may be started, on a loop whose calls the test makes."""

from __future__ import annotations

import time
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter.judging import Judge
from nodecluster_compat.base.records import ExitStatus
from nodecluster_compat.lifecycle.roster import Roster


class Server:
    """An arbiter without a process."""

    def __init__(self) -> None:
        self.later: list[tuple[float, Any]] = []
        self.app = self.cfg = None
        self.roster = Roster()
        self.loop = SimpleNamespace(call_later=lambda seconds, call, *args: self.later.append((seconds, call)))
        self.background = SimpleNamespace(do=lambda name, job: None)
        arbiter: Any = self
        nobody: Any = SimpleNamespace()
        self.judge = Judge(arbiter, nobody, nobody)

    def wakeup(self) -> None:
        """What the main loop waits for."""

    def crash(self, pid: int) -> None:
        """A worker fails before it listens."""
        self.roster.add(pid, pid, None, time.monotonic())
        entry: Any = self.roster.with_pid(pid)
        self.judge.ended(entry, ExitStatus(9, None))
        self.roster.remove(pid)

    def wakes(self) -> list[float]:
        """In how many seconds each it is woken."""
        return [seconds for seconds, call in self.later if call == self.wakeup]


@pytest.fixture
def server() -> Server:
    return Server()


def test_the_main_loop_is_woken_when_a_pause_is_over(server: Server) -> None:
    """Once for each pause, however often it looks meanwhile."""
    server.crash(1)
    assert [server.judge.allowed() for _ in range(3)] == [0, 0, 0]
    (first,) = server.wakes()
    left = server.judge.next_attempt_in
    assert left is not None
    assert first >= left

    server.crash(2)
    assert server.judge.allowed() == 0
    assert len(server.wakes()) == 2


def test_shorter_pause_after_a_new_beginning_has_its_own_end(server: Server) -> None:
    """A reload, or TTIN, after many crashes: the next pause is the first one again."""
    server.crash(1)
    server.crash(2)
    assert server.judge.allowed() == 0
    server.judge.retry_now()
    server.crash(3)
    assert server.judge.allowed() == 0
    assert len(server.wakes()) == 2


def test_nothing_wakes_the_main_loop_without_a_pause(server: Server) -> None:
    assert server.judge.allowed() > 0
    assert server.later == []
