"""Find the requests of a thread worker that overrun their limit, by a look at all of them when the first may be late.

It looks only while somebody has a limit, and something is in flight.
"""

from __future__ import annotations

from _thread import allocate_lock
from collections.abc import Callable
from functools import partial
from math import inf
from time import monotonic
from typing import Generic

from ..base.time_limits import Key, Late, TimeLimits

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
        self._has_usual = bool(seconds)
        self._call_later = call_later
        self._on_late = on_late
        self._clock = clock
        self._in_flight: dict[Key, float] = {}
        self._lock = allocate_lock()
        self._next_look = inf

    def begin(self, request: Key) -> None:
        """A request is in flight."""
        self._in_flight[request] = since = self._clock()
        if self._has_usual and self._next_look == inf:
            self._look_within(self._limits.pause([(request, since)], since))

    def end(self, request: Key) -> None:
        """Note that it has ended; a no-op when that was said."""
        self._in_flight.pop(request, None)

    def limit(self, request: Key, seconds: float) -> bool:
        """Give a request a limit of its own, 0 for none; return whether it is in flight."""
        since = self._in_flight.get(request)
        if since is None:
            return False
        self._limits.set(request, since, seconds)
        self._look_within(self._limits.pause([(request, since)], self._clock()))
        return True

    def _look_within(self, pause: float | None) -> None:
        """Look after so many seconds, if nobody will before."""
        if pause is None:
            return
        at = self._clock() + pause
        with self._lock:
            if at >= self._next_look:
                return
            self._next_look = at
        self._call_later(pause, partial(self._look, at))

    def _look(self, at: float) -> None:
        """Look, unless it was put forward."""
        with self._lock:
            if at != self._next_look:
                return
            self._next_look = inf
        for late in self._limits.late(list(self._in_flight.items()), self._clock()):
            if not self._on_late(late):
                self._limits.set(late.key, late.since, 0)
        if self._in_flight or self._limits.remembers:
            self._look_within(self._limits.pause(list(self._in_flight.items()), self._clock()))
