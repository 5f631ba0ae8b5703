"""Deadlines and the evidence that a time-out owes its reader."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from .errors import WaitTimeout

__all__ = ["Deadline", "evidence", "poll"]

T = TypeVar("T")

# How often a condition without a wake-up of its own (a process' end, a closing port) is looked at.
POLL_SECONDS = 0.02


class Deadline:
    """A point in time that several waits share."""

    def __init__(self, seconds: float) -> None:
        self.seconds = seconds
        self._end = time.monotonic() + seconds

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
