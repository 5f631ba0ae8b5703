"""Hold up processes that publish without a pause, so that a flood leaves processors to connections.

Theory of operation
-------------------
A process has credit for :data:`WINDOW` messages.  If it has used it up within :data:`WINDOW_SECONDS`, it is held up
until the primary has passed all of them on, and then for as long again.  So a flood leaves about as much time as it
takes, however many processes it keeps busy and however slow the machine is: where processors are scarce the primary's
word comes late, and the pause is longer.  A process that publishes slowly, or a few messages at a time, is never held
up.

A process is held up for :data:`EASE_SECONDS` at most each time, whatever the primary does: nobody waits for a
subscriber.  Code that must not wait goes on, up to the bound of its channel.

Rejected: a share of the primary's time or of a worker's, which a flood never needs to use up to keep all processors
busy; a limit in messages a second, which is too low on one machine and too high on another.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from typing import Final

__all__ = ["EASE_SECONDS", "WINDOW", "WINDOW_SECONDS", "PublishingPace"]

WINDOW: Final = 64
"""Messages that are published before their publisher is held up."""

WINDOW_SECONDS: Final = 0.02
"""A process that takes longer than that for them does not publish too fast."""

EASE_SECONDS: Final = 0.05
"""How long a publisher is held up each time, at most."""


class PublishingPace:
    """The pace of one process.  Methods are called with the lock held.

    Args:
        ask: lets the primary say when it has passed on all that was published; calls back then.
        later: calls back after so many seconds.
        clock: seconds that go on by themselves.
    """

    def __init__(
        self,
        ask: Callable[[Callable[[], None]], None],
        later: Callable[[float, Callable[[], None]], object],
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ask = ask
        self._later = later
        self._clock = clock
        self._sent = 0
        self._began = clock()
        self._held: list[Callable[[], None]] | None = None  # callbacks that wait for the primary's word

    def counts(self) -> bool:
        """Count one more message; return whether its publisher is to be held up."""
        self._sent += 1
        if self._sent < WINDOW:
            return self._held is not None
        began, now = self._began, self._clock()
        self._sent, self._began = 0, now
        return now - began < WINDOW_SECONDS or self._held is not None

    def hold(self, done: Callable[[], None]) -> None:
        """Call back when the publisher may go on, together with all that are held up already."""
        if self._held is not None:
            self._held.append(done)
            return
        held = self._held = [done]
        self._later(EASE_SECONDS, partial(self._end, held))
        self._ask(partial(self._passed_on, held, self._clock()))

    def _passed_on(self, held: list[Callable[[], None]], since: float) -> None:
        if self._held is held:
            self._later(min(EASE_SECONDS, self._clock() - since), partial(self._end, held))

    def _end(self, held: list[Callable[[], None]]) -> None:
        if self._held is not held:
            return
        self._held, self._sent, self._began = None, 0, self._clock()
        for done in held:
            done()
