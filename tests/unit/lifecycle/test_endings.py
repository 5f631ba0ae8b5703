"""What the end of a worker counts as."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest

from nodecluster_compat.base.records import ExitStatus
from nodecluster_compat.lifecycle.endings import (
    EXIT_REASONS,
    EndingKind,
    ExitReason,
    ending_of,
    is_fault_of_script,
    reason_of,
)
from nodecluster_compat.lifecycle.way_out import WayOut

TIMED_OUT = "gave no sign of life within timeout (30 s)"
BAD, CLEAN, TERM, KILL = (
    ExitStatus(1, None),
    ExitStatus(0, None),
    ExitStatus(None, "SIGTERM"),
    ExitStatus(None, "SIGKILL"),
)


def way_out(*steps: Callable[[WayOut], object]) -> WayOut:
    one = WayOut()
    for step in steps:
        step(one)
    return one


def overran(one: WayOut) -> None:
    one.overrun(TIMED_OUT)


def test_worker_that_timed_out_is_a_fault_whatever_it_said_afterwards() -> None:
    """Its handler of SIGABRT lets it leave its loop, so it may say that it leaves before it ends."""
    for steps in ([overran], [overran, WayOut.leave], [WayOut.leave, overran], [overran, WayOut.tell]):
        for status in (BAD, CLEAN, KILL):
            ending = ending_of(way_out(*steps), status, has_listened=True)
            assert (ending.kind, ending.how) == ("fault", TIMED_OUT)


@pytest.mark.parametrize(
    ("steps", "status", "has_listened", "kind"),
    [
        ([], BAD, True, "fault"),
        ([], CLEAN, True, "fault"),
        ([], TERM, False, "fault"),
        ([], KILL, True, "killed"),
        ([], KILL, False, "killed"),
        ([WayOut.tell], BAD, True, "asked"),
        ([WayOut.tell], KILL, False, "asked"),
        ([WayOut.leave], CLEAN, True, "asked"),
        ([WayOut.leave], CLEAN, False, "fault"),
        ([WayOut.leave], KILL, False, "killed"),
        ([overran], BAD, False, "fault"),
        ([overran, WayOut.tell], KILL, False, "asked"),
    ],
)
def test_what_an_end_counts_as(
    steps: list[Callable[[WayOut], object]], status: ExitStatus, has_listened: bool, kind: EndingKind
) -> None:
    """Asked for, a fault, or killed from outside."""
    assert ending_of(way_out(*steps), status, has_listened=has_listened).kind == kind


def test_words_of_an_end() -> None:
    """They continue "the worker ..."."""
    assert ending_of(WayOut(), BAD, has_listened=False).how == "exited with code 1 while booting"
    assert ending_of(WayOut(), TERM, has_listened=True).how == "was ended by SIGTERM after it had listened"


def test_worker_of_a_script_may_end_when_it_has_done_its_work() -> None:
    """And a script may send it signals."""
    signalled = WayOut()
    signalled.was_signalled = True
    assert is_fault_of_script(WayOut(), BAD)
    assert is_fault_of_script(WayOut(), KILL)
    assert not is_fault_of_script(WayOut(), CLEAN)
    assert not is_fault_of_script(signalled, KILL)
    assert not is_fault_of_script(way_out(WayOut.leave), BAD)


def due(one: WayOut) -> None:
    one.fall_due("it is old")


def wished_by_operator(one: WayOut) -> None:
    one.was_asked = True


def killed_from_here(one: WayOut) -> None:
    one.was_killed = True


SEGV = ExitStatus(None, "SIGSEGV")


@pytest.mark.parametrize(
    ("steps", "status", "facts", "reason"),
    [
        ([WayOut.tell], CLEAN, {}, "asked"),
        ([WayOut.leave], CLEAN, {}, "asked"),
        ([WayOut.tell], CLEAN, {"is_old": True}, "reload"),
        ([due, WayOut.tell], CLEAN, {}, "recycled"),
        ([WayOut.leave], CLEAN, {"is_used_up": True}, "recycled"),
        ([wished_by_operator, due, WayOut.tell], CLEAN, {}, "asked"),
        ([], CLEAN, {}, "finished"),
        ([overran], KILL, {}, "timeout"),
        ([overran, WayOut.leave], CLEAN, {}, "timeout"),
        ([overran], KILL, {"has_listened": False}, "boot_timeout"),
        ([], BAD, {}, "crash"),
        ([], SEGV, {}, "crash"),
        ([], TERM, {}, "killed_from_outside"),
        ([], KILL, {}, "killed_from_outside"),
        ([], KILL, {"is_out_of_memory": lambda: True}, "out_of_memory"),
        ([WayOut.tell], KILL, {"is_out_of_memory": lambda: True}, "out_of_memory"),
        ([WayOut.tell, killed_from_here], KILL, {"is_out_of_memory": lambda: True}, "killed_by_server"),
        ([WayOut.tell, killed_from_here], KILL, {"is_old": True, "has_listened": False}, "reload"),
    ],
)
def test_why_a_worker_has_ended(
    steps: list[Callable[[WayOut], object]], status: ExitStatus, facts: dict[str, Any], reason: ExitReason
) -> None:
    usual = {"has_listened": True, "is_old": False, "is_used_up": False, "is_out_of_memory": lambda: False}
    assert reason_of(way_out(*steps), status, **{**usual, **facts}) == reason
    assert reason in EXIT_REASONS
