"""Measure how late an event loop turns, and find the one that no longer does.  Pure: the clock comes in.

A worker's loop *beats*: every :data:`BEAT_SECONDS` its timer notes the time.  The beat's delay is the loop's *lag*:
everything else on the loop waited as long.  The worker reports the worst lag of its last few seconds, because a lag is
usually over when somebody looks.  A loop that does not turn reports nothing, so the reader adds the time by which the
next beat is overdue.

    turning ──no beat for ``limit`` seconds too long──▶ blocked ──a beat──▶ turning

A worker writes its own beats, so nothing in them is trusted: what makes no sense is no beat.
"""

from __future__ import annotations

from typing import Final, Literal, TypeAlias

from msgspec import Struct

from ..base.records import Beat

__all__ = ["BEAT_SECONDS", "Change", "LagMeter", "LoopWatch", "lag_at"]

BEAT_SECONDS: Final = 0.25
"""Four wake-ups a second cost a worker a hundredth of a percent of a processor."""

WINDOW_SECONDS: Final = 5.0
"""A lag is remembered for this long, and at most for twice as long."""


def lag_at(beat: Beat, now: float) -> float:
    """Return by how many seconds the loop is late, at worst, lately: up to ``now``."""
    return max(beat.lag, _overdue(beat, now))


def _overdue(beat: Beat, now: float) -> float:
    return max(0.0, now - beat.turned - BEAT_SECONDS) if beat.turned else 0.0


class LagMeter:
    """In the worker: makes the beats.

    Args:
        now: the time at which its timer starts.
    """

    __slots__ = ("_before", "_turned", "_window", "_worst")

    def __init__(self, now: float) -> None:
        self._turned = self._window = now
        self._worst = self._before = 0.0  # of this window, and of the one before

    def turn(self, now: float) -> Beat:
        """The timer has fired."""
        if now - self._window >= WINDOW_SECONDS:
            self._before, self._worst, self._window = self._worst, 0.0, now
        self._worst = max(self._worst, now - self._turned - BEAT_SECONDS)
        self._turned = now
        return Beat(now, max(self._worst, self._before))


Word: TypeAlias = Literal["blocked", "unblocked"]


class Change(Struct, frozen=True):
    """A loop stands still, or turns again.

    Attributes:
        word: which of the two.
        seconds: for how long it has stood still, at least; of one that turns again, altogether.
    """

    word: Word
    seconds: float


class LoopWatch:
    """In the primary: whether the loop of one worker turns."""

    __slots__ = ("_stuck",)

    def __init__(self) -> None:
        self._stuck: Beat | None = None  # the last beat before it stood still

    def observe(self, beat: Beat, now: float, limit: float) -> Change | None:
        """Compare its last beat with the time; return what is new, once an episode.

        Args:
            beat: what it has last said.
            now: the time.
            limit: so many seconds too late is blocked; 0 for never.
        """
        overdue = _overdue(beat, now)
        if self._stuck is None:
            if limit and overdue >= limit:
                self._stuck = beat
                return Change("blocked", overdue)
        elif beat.turned > self._stuck.turned:
            # It may have turned for a while already; it knows best how late it was, unless it was later before.
            seconds = min(beat.lag, _overdue(self._stuck, now))
            self._stuck = None
            return Change("unblocked", seconds)
        return None
