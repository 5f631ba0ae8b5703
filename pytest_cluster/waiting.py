"""Deadlines and the evidence that a time-out owes its reader.

``--cluster-slow-factor`` stretches every default; what a test says itself is taken as it is. Where pytest-timeout
limits the test, no wait here lasts until its alarm, so that the message is ours, with what happened in it.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from .errors import WaitTimeout

__all__ = ["Deadline", "end_waits_at", "evidence", "poll", "scaled", "set_slow_factor", "timed_out"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

# How often a condition without a wake-up of its own (a process' end, a closing port) is looked at.
POLL_SECONDS = 0.02


class _Limits:
    factor = 1.0
    test_end: float | None = None


def set_slow_factor(factor: float) -> float:
    """Stretch every default time-out from now on; return the former factor."""
    former, _Limits.factor = _Limits.factor, factor
    return former


def scaled(default: float) -> float:
    """Return a default time-out as it is on this machine."""
    return default * _Limits.factor


def end_waits_at(moment: float | None) -> float | None:
    """Let no wait last beyond this moment (``time.monotonic()``), ``None`` for no limit; return the former one."""
    former, _Limits.test_end = _Limits.test_end, moment
    return former


class Deadline:
    """A point in time that several waits share."""

    def __init__(self, seconds: float) -> None:
        self._end = time.monotonic() + seconds
        if _Limits.test_end is not None:
            self._end = min(self._end, _Limits.test_end)

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the point has passed."""
        return self.remaining == 0.0


def poll(check: Callable[[], T | None], timeout: float) -> T | None:
    """Call *check* until it returns something true; its last result, when *timeout* seconds have passed."""
    deadline = Deadline(timeout)
    while True:
        result = check()
        if result or deadline.expired:
            return result
        time.sleep(min(POLL_SECONDS, deadline.remaining))


def evidence(headline: str, sections: Iterable[tuple[str, str]]) -> str:
    """One line of cause, then each non-empty section under its title."""
    parts = [headline]
    parts += [f"--- {title} ---\n{text.rstrip()}" for title, text in sections if text.strip()]
    return "\n".join(parts)


def timed_out(expected: str, seconds: float, sections: Iterable[tuple[str, str]]) -> WaitTimeout:
    """The error for something *expected* that did not come within *seconds*."""
    return WaitTimeout(evidence(f"expected {expected} within {seconds:g} s, which did not happen", sections))
