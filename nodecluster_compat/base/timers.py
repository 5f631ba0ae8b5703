"""Set timers as Node does: ``set_timeout``, ``set_interval``, ``ref``, ``unref``; the same object in both roles.

A timer knows what to call and whether it keeps its process alive.  The *clock* of its process, the primary's loop or a
worker's hub, knows when.
"""

from __future__ import annotations

import time
import warnings
from collections.abc import Callable
from typing import Any, Final, Protocol

from ..errors import ArgumentError
from .arguments import is_nan
from .handler_calls import Origin, run_guarded

__all__ = ["Clock", "TimeoutOverflowWarning", "Timer", "seconds_of"]

_LEAST_MILLISECONDS: Final = 1
_MOST_MILLISECONDS: Final = 2**31 - 1


class TimeoutOverflowWarning(RuntimeWarning):
    """A delay is longer than Node's timers can be: it is one millisecond."""


class Clock(Protocol):
    """Runs the timers of a process."""

    def start(self, timer: Timer, seconds: float) -> object:
        """Let ``timer`` fire after ``seconds``; if it was started before, only then."""

    def changed(self, timer: Timer) -> None:
        """``timer`` was cancelled, or holds the process otherwise than before."""


def _nothing() -> None:
    """What a cancelled timer would call."""


class Timer:
    """A callback that waits for its time (Node: ``Timeout``).

    Args:
        callback: called with ``args``.
        args: what it is called with.
        origin: the module that it was set from.
        seconds: until it fires, and where it ``repeats``, between two times.
        repeats: fires again and again, until it is cancelled.
        holds: its process lives on until it has fired.
    """

    __slots__ = ("args", "callback", "cancelled", "clock", "holds", "origin", "repeats", "seconds", "start_number")

    def __init__(
        self,
        callback: Callable[..., Any],
        args: tuple[Any, ...],
        origin: Origin,
        seconds: float = 0.0,
        *,
        repeats: bool = False,
        holds: bool = False,
    ) -> None:
        self.callback = callback
        self.args = args
        self.origin = origin
        self.seconds = seconds
        self.repeats = repeats
        self.holds = holds
        self.cancelled = False
        self.clock: Clock | None = None
        self.start_number = 0  # the clock's

    def cancel(self) -> None:
        """Never call back, and let go of what it would have been called with; a no-op when it already has."""
        self.cancelled = True
        self.callback, self.args = _nothing, ()
        self._tell_clock()

    close = cancel

    def ref(self) -> Timer:
        """Keep the process alive until the timer has fired, as timers do unless told otherwise."""
        return self._hold(True)

    def unref(self) -> Timer:
        """Let the process end although the timer has not fired."""
        return self._hold(False)

    def has_ref(self) -> bool:
        """Whether it keeps the process alive."""
        return self.holds

    def refresh(self) -> Timer:
        """Begin again: fire after the whole time from now, also when it has fired already."""
        if self.clock is not None and not self.cancelled:
            self.clock.start(self, self.seconds)
        return self

    def fire(self) -> None:
        """Call back; a timer that repeats then waits for its next time, which counts from when this one began."""
        if self.cancelled:
            return
        began, number = time.monotonic(), self.start_number
        run_guarded("a timer", self.origin, self.callback, *self.args)
        if self.repeats and self.start_number == number:
            self._go_on(began)

    def _go_on(self, began: float) -> None:
        if self.clock is not None and not self.cancelled:
            self.clock.start(self, max(0.0, began + self.seconds - time.monotonic()))

    def _hold(self, holds: bool) -> Timer:
        self.holds = holds
        self._tell_clock()
        return self

    def _tell_clock(self) -> None:
        if self.clock is not None:
            self.clock.changed(self)


def seconds_of(milliseconds: object) -> float:
    """Return a delay of Node's in seconds; less than one millisecond is one, as in Node, and so is more than 24.8 days.

    Raises:
        ArgumentError: it is no number.
    """
    if milliseconds is None:
        return _LEAST_MILLISECONDS / 1000
    if isinstance(milliseconds, bool) or not isinstance(milliseconds, int | float) or is_nan(milliseconds):
        raise ArgumentError(f"expected a delay in milliseconds as the second argument, got {milliseconds!r}")
    if milliseconds > _MOST_MILLISECONDS:
        text = f"{milliseconds} does not fit into a 32-bit signed integer. Timeout duration was set to 1."
        warnings.warn(text, TimeoutOverflowWarning, stacklevel=4)  # whoever calls set_timeout()
        return _LEAST_MILLISECONDS / 1000
    return max(_LEAST_MILLISECONDS, milliseconds) / 1000
