"""Which children are waited for, and which exit status is left to whoever may ask for it."""

from __future__ import annotations

import os
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from nodecluster_compat.machine import children
from nodecluster_compat.machine.children import (
    FORGOTTEN_SECONDS,
    LOST_STATUS,
    ForgottenChildren,
    ended_among,
    living_children,
)


class Processes:
    """The children of this process, as the kernel has them."""

    def __init__(self) -> None:
        self.statuses: dict[int, int | None] = {}

    def waitpid(self, pid: int, options: int) -> tuple[int, int]:
        assert options == os.WNOHANG
        if pid not in self.statuses:
            raise ChildProcessError
        status = self.statuses[pid]
        if status is None:
            return 0, 0
        del self.statuses[pid]
        return pid, status

    def wait4(self, pid: int, options: int) -> tuple[int, int, SimpleNamespace]:
        return (*self.waitpid(pid, options), SimpleNamespace(ru_utime=0.25, ru_stime=0.5))

    def waitid(self, *_: int) -> object:
        if not self.statuses:
            raise ChildProcessError
        return next((status for status in self.statuses.values() if status is not None), None)

    def zombies(self) -> Iterator[int]:
        return (pid for pid, status in self.statuses.items() if status is not None)


@pytest.fixture
def processes(monkeypatch: pytest.MonkeyPatch) -> Processes:
    """Stand in for the kernel."""
    stand_in = Processes()
    monkeypatch.setattr(children, "original", lambda *_: stand_in.waitpid)
    monkeypatch.setattr(os, "waitpid", stand_in.waitpid)
    monkeypatch.setattr(os, "wait4", stand_in.wait4)
    monkeypatch.setattr(os, "waitid", stand_in.waitid)
    monkeypatch.setattr(children, "_zombies", stand_in.zombies)
    return stand_in


def test_only_those_that_were_named_are_waited_for(processes: Processes) -> None:
    """A child of somebody else keeps its exit status."""
    processes.statuses = {11: 0, 12: None, 13: 9, 14: 7 << 8}
    assert list(ended_among([11, 12, 13, 0])) == [(11, 0, 0.75), (13, 9, 0.75)]
    assert processes.statuses == {12: None, 14: 7 << 8}


def test_status_that_somebody_else_took_is_lost(processes: Processes) -> None:
    """The child is gone all the same."""
    assert list(ended_among([11])) == [(11, LOST_STATUS, 0.0)]


def test_what_nobody_waits_for_is_taken_in_the_end(processes: Processes) -> None:
    """Not before a minute is over, each counted by itself."""
    forgotten = ForgottenChildren()
    processes.statuses = {11: 0, 12: None}
    assert forgotten.turn(0.0) == []
    processes.statuses[12] = 0
    assert forgotten.turn(FORGOTTEN_SECONDS - 1) == []
    assert forgotten.turn(FORGOTTEN_SECONDS + 10) == [11]
    assert forgotten.turn(2 * FORGOTTEN_SECONDS) == [12]
    assert processes.statuses == {}


def test_pid_that_was_waited_for_and_used_again_counts_anew(processes: Processes) -> None:
    """It is another process."""
    forgotten = ForgottenChildren()
    processes.statuses = {11: 0, 12: 0}
    forgotten.turn(0.0)
    del processes.statuses[11]
    forgotten.turn(30.0)
    processes.statuses[11] = 0
    assert forgotten.turn(FORGOTTEN_SECONDS) == [12]


def test_no_look_while_no_child_has_ended(processes: Processes, monkeypatch: pytest.MonkeyPatch) -> None:
    """The look into ``/proc`` is for those that have."""
    monkeypatch.setattr(children, "_zombies", lambda: pytest.fail("looked"))
    processes.statuses = {11: None}
    assert ForgottenChildren().turn(0.0) == []


def test_this_process_has_children_or_not() -> None:
    """It is read from ``/proc``; whatever is there is no process that has ended."""
    assert os.getpid() not in living_children()
