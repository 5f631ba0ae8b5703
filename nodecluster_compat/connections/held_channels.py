"""Stop reading a worker's channel while connections that it handed on wait; runs on the dealer's thread.

    read ──enough of it waits──▶ held ──dealt──▶ read
                                  └──none of it was dealt for long──▶ read, and what is too much is closed

The last is for workers that wait for each other: what frees one of them may lie in the channel of another.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from .offers import OfferingEnd

__all__ = ["HeldChannels"]

_LOOK_SECONDS: Final = 0.002
_PATIENCE_SECONDS: Final = 5.0


class _Loop(Protocol):
    clock: Callable[[], float]

    def call_later(self, seconds: float, callback: Callable[..., None], *args: OfferingEnd | float) -> None:
        """Call back once."""


class HeldChannels:
    """The channels of which nothing is read now.

    Args:
        loop: the dealer's.
        watch: lets a channel be read, or not.
        waits: says how many connections of a worker wait, if these are enough; 0: they are not.
    """

    def __init__(
        self, loop: _Loop, watch: Callable[[OfferingEnd, bool], None], waits: Callable[[OfferingEnd], int]
    ) -> None:
        self._loop = loop
        self._watch = watch
        self._waits = waits
        self._held: set[OfferingEnd] = set()
        self._stuck: set[OfferingEnd] = set()

    def came(self, end: OfferingEnd) -> None:
        """Note that one more of this worker waits, or has been dealt already."""
        waiting = self._waits(end)
        if not waiting:
            self._stuck.discard(end)
        elif end not in self._stuck and end not in self._held:
            self._held.add(end)
            self._watch(end, False)
            self._look_later(end, waiting, self._loop.clock() + _PATIENCE_SECONDS)

    def forget(self, end: OfferingEnd) -> None:
        """A worker is gone."""
        self._held.discard(end)
        self._stuck.discard(end)

    def _look_later(self, end: OfferingEnd, waiting: int, until: float) -> None:
        self._loop.call_later(_LOOK_SECONDS, self._look, end, waiting, until)

    def _look(self, end: OfferingEnd, waiting: int, until: float) -> None:
        if end not in self._held:
            return
        now, waiting_now = self._loop.clock(), self._waits(end)
        if waiting_now < waiting:
            until = now + _PATIENCE_SECONDS
        if waiting_now and now < until:
            self._look_later(end, waiting_now, until)
            return
        self._held.discard(end)
        if waiting_now:
            self._stuck.add(end)
        self._watch(end, True)
