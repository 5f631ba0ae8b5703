"""Limit the share of a thread's time that goes to a peer which always has more to say.

It is a bucket of seconds: time fills it, up to a burst, and work empties it.  A peer that has emptied it rests until it
is filled again.  So bursts are never slowed down, and a flood gets its share and no more.
"""

from __future__ import annotations

from typing import Final

__all__ = ["Pace"]

BURST_SECONDS: Final = 0.1
"""Work that is done without a rest."""

SHARE: Final = 0.5
"""Of the time, afterwards."""


class Pace:
    """The pace of one peer.

    Args:
        now: seconds, of a clock that goes on by itself.
    """

    def __init__(self, now: float) -> None:
        self._seconds = BURST_SECONDS
        self._filled_at = now

    def spend(self, seconds: float, now: float) -> float:
        """Note so much work for it; return how long it has to rest now."""
        filled = self._seconds + (now - self._filled_at) * SHARE
        self._filled_at = now
        self._seconds = min(BURST_SECONDS, filled) - seconds
        return max(0.0, -self._seconds / SHARE)
