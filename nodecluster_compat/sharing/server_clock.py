"""Tell the time of the server that several hosts share, whatever their own clocks say.

The server is asked for its time now and then; in between this process counts on by itself.  How long each question took
is known, so the time is wrong by half of that at most: of several questions the quickest counts.
"""

from __future__ import annotations

import time
from collections.abc import Callable
from typing import Final

__all__ = ["KNOWN_SECONDS", "ServerClock"]

KNOWN_SECONDS: Final = 10.0
"""How long this process counts on by itself; clocks of computers differ by less than a millisecond then."""

_QUESTIONS: Final = 3
_NEVER: Final = float("-inf")


class ServerClock:
    """The clock of a server.

    Args:
        ask: returns the server's time, in seconds since 1970.
        clock: seconds of this process that only go on.

    Attributes:
        within: by how many seconds what :meth:`now` says may be wrong.
    """

    def __init__(self, ask: Callable[[], float], clock: Callable[[], float] = time.monotonic) -> None:
        self.within = 0.0
        self._ask = ask
        self._clock = clock
        self._ahead = 0.0
        self._known_until = _NEVER

    def now(self) -> float:
        """Return the server's time.

        Raises:
            StoreUnavailable: it has to be asked, and cannot be.
        """
        if self._clock() >= self._known_until:
            self.within, self._ahead = min(self._look() for _ in range(_QUESTIONS))
            self._known_until = self._clock() + KNOWN_SECONDS
        return self._clock() + self._ahead

    def _look(self) -> tuple[float, float]:
        """Return by how much this may be wrong: the server's clock is so far ahead of this one."""
        asked = self._clock()
        told = self._ask()
        came = self._clock()
        return (came - asked) / 2, told - (asked + came) / 2
