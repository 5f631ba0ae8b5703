"""Watch the requests of a worker that are in flight, and say which are late; for engines that have no better ledger.

It looks only while somebody has a limit, and something is in flight.
"""

from __future__ import annotations

from collections.abc import Callable
from time import monotonic
from typing import Generic

from .time_limits import Key, Late, TimeLimits

__all__ = ["LimitWatch"]


class LimitWatch(Generic[Key]):
    """The requests of one worker.

    Args:
        seconds: that a request may usually take; 0 for no limit.
        call_later: calls back after some seconds; may be called in any thread that serves requests.
        on_late: told of each late request; returns whether it has the usual limit at all.
        clock: seconds.
    """

    def __init__(
        self,
        seconds: float,
        call_later: Callable[[float, Callable[[], None]], object],
        on_late: Callable[[Late[Key]], bool],
        clock: Callable[[], float] = monotonic,
    ) -> None:
        self._limits: TimeLimits[Key] = TimeLimits(seconds)
        self._call_later = call_later
        self._on_late = on_late
        self._clock = clock
        self._in_flight: dict[Key, float] = {}
        self._is_due = False

    def begin(self, request: Key) -> None:
        """A request is in flight."""
        self._in_flight[request] = self._clock()
        if not self._is_due:
            self._look_soon()

    def end(self, request: Key) -> None:
        """It has ended; a no-op when that was said."""
        self._in_flight.pop(request, None)

    def limit(self, request: Key, seconds: float) -> bool:
        """Give a request a limit of its own, 0 for none; return whether it is in flight."""
        since = self._in_flight.get(request)
        if since is None:
            return False
        self._limits.set(request, since, seconds)
        if not self._is_due:
            self._look_soon()
        return True

    def _look_soon(self) -> None:
        pause = self._limits.pause
        if pause is not None:
            self._is_due = True
            self._call_later(pause, self._look)

    def _look(self) -> None:
        self._is_due = False
        for late in self._limits.late(list(self._in_flight.items()), self._clock()):
            if not self._on_late(late):
                self._limits.set(late.key, late.since, 0)
        if self._in_flight:
            self._look_soon()
