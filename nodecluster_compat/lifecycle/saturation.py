"""Find the worker whose threads are all stuck in requests while others wait.  Pure: the clock comes in.

A worker whose threads are all busy may just have much to do; then one of them ends its request every now and then, and
begins another.  It is *saturated* when none has for ``limit`` seconds, and somebody waits for one: in the worker, or in
the primary for any worker.

    serving ──all busy, none ends for ``limit`` seconds, somebody waits──▶ saturated ──one ends──▶ serving
"""

from __future__ import annotations

from typing import Literal, TypeAlias

from msgspec import Struct

from ..base.records import Load

__all__ = ["Saturation", "SaturationWatch"]

SaturationWord: TypeAlias = Literal["saturated", "relieved"]


class Saturation(Struct, frozen=True):
    """A worker is saturated, or is not any more.

    Attributes:
        word: which of the two.
        seconds: for how long no request has ended.
    """

    word: SaturationWord
    seconds: float


class SaturationWatch:
    """In the primary: whether the threads of one worker get anywhere."""

    __slots__ = ("_since",)

    def __init__(self) -> None:
        self._since = 0.0  # since when they do not, as the worker has said; 0 while they do

    def observe(self, load: Load, waiting: int, now: float, limit: float) -> Saturation | None:
        """Compare what it has last said with the time; return what is new, once an episode.

        Args:
            load: what it has said.
            waiting: how many connections wait in the primary.
            now: the time.
            limit: so many seconds without an end are too many; 0 for never.
        """
        since = load.full_since
        if self._since and since != self._since:
            seconds, self._since = (since or now) - self._since, 0.0
            return Saturation("relieved", max(0.0, seconds))
        if not self._since and limit and since and now - since >= limit and (load.waiting or waiting):
            self._since = since
            return Saturation("saturated", now - since)
        return None
