"""Set deadlines, poll, and build the error of a wait that has timed out.

``--cluster-slow-factor`` stretches every default, and nothing that a test says itself.  Where pytest-timeout limits the
test, every wait here ends before its alarm, so that the message is ours, with what has happened.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from typing import TypeVar

from .errors import OptionError, WaitTimeout

__all__ = [
    "Deadline",
    "Patience",
    "cut",
    "end_waits_at",
    "evidence",
    "poll",
    "scaled",
    "set_slow_factor",
    "time_is_up",
    "timed_out",
]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

T = TypeVar("T")

STACK_LINES = 80
ALARM = "pytest-timeout would have ended the test soon"

# The pause between two checks of a condition that wakes nobody (a process' end, a closing port).
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


def time_is_up() -> bool:
    """Whether the moment has come beyond which no wait lasts."""
    return _Limits.test_end is not None and time.monotonic() >= _Limits.test_end


class Deadline:
    """A point in time that several waits share.

    Args:
        seconds: from now, or until the test's limit, if that comes first.
        at_least: seconds that it has beyond that limit.

    Raises:
        OptionError: that is no time: a test has said it.
    """

    def __init__(self, seconds: float, *, at_least: float = 0.0) -> None:
        if not _is_time(seconds):
            raise OptionError(f"timeout: expected a number of seconds, 0 or more, got {seconds!r:.100}")
        self._start = time.monotonic()
        self._end = self._start + seconds
        self._is_cut = _Limits.test_end is not None and _Limits.test_end < self._end
        if _Limits.test_end is not None:
            self._end = min(self._end, max(_Limits.test_end, self._start + at_least))

    @property
    def remaining(self) -> float:
        """Seconds left, never negative."""
        return max(0.0, self._end - time.monotonic())

    @property
    def expired(self) -> bool:
        """Whether the point has passed."""
        return self.remaining == 0.0

    def early_end(self, why: str = "") -> str:
        """Say how long the wait was when it ends now and had less time than it was given; empty when it had all of it.

        :param why: it ends, if not because of pytest-timeout.
        """
        if self.expired:
            why = ALARM if self._is_cut else ""
        return f"the wait ended after {time.monotonic() - self._start:.1f} s, because {why}" if why else ""


def _is_time(value: object) -> bool:
    return isinstance(value, int | float) and not isinstance(value, bool) and value >= 0


class Patience:
    """How long to wait for each sign of life of somebody who may go on giving them.

    Args:
        seconds: for each; no wait lasts beyond the test's limit.
    """

    def __init__(self, seconds: float) -> None:
        self._start = time.monotonic()
        self._seconds = seconds

    def next(self) -> float:
        """Return for how many seconds to wait for the next one.

        :raises TimeoutError: the test's time is over.
        """
        if _Limits.test_end is None:
            return self._seconds
        left = _Limits.test_end - time.monotonic()
        if left <= 0:
            raise TimeoutError
        return min(self._seconds, left)

    def early_end(self) -> str:
        """Say how long the whole wait was when the test's time is over; empty when it is not."""
        if not time_is_up():
            return ""
        return f"the wait ended after {time.monotonic() - self._start:.1f} s, because {ALARM}"


def poll(check: Callable[[], T | None], timeout: float, *, at_least: float = 0.0) -> T | None:
    """Call *check* until it returns something true; its last result, when *timeout* seconds have passed.

    :param at_least: as for :class:`Deadline`.
    """
    deadline = Deadline(timeout, at_least=at_least)
    while True:
        result = check()
        if result or deadline.expired:
            return result
        time.sleep(min(POLL_SECONDS, deadline.remaining))


def evidence(headline: str, sections: Iterable[tuple[str, str]]) -> str:
    """Return one line of cause, then each non-empty section under its title; of stacks the beginning."""
    parts = [headline]
    for title, text in sections:
        if text.strip():
            shown = cut(text.rstrip()) if title.startswith("stacks of ") else text.rstrip()
            parts.append(f"--- {title} ---\n{shown}")
    return "\n".join(parts)


def cut(text: str) -> str:
    """Return the beginning of long stacks, where a process is, and how much was left out."""
    lines = text.splitlines()
    if len(lines) <= STACK_LINES:
        return text
    return "\n".join([*lines[:STACK_LINES], f"… and {len(lines) - STACK_LINES} lines more"])


def timed_out(expected: str, seconds: float, sections: Iterable[tuple[str, str]], *, early: str = "") -> WaitTimeout:
    """Return the error for something *expected* that did not come within *seconds*.

    :param early: what :meth:`Deadline.early_end` says, after what has come of it so far.
    """
    headline = f"expected {expected} within {seconds:g} s, which did not happen"
    return WaitTimeout(evidence(headline + (f": {early}" if early else ""), sections))
