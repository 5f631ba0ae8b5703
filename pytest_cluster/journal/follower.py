"""Tell somebody of each entry of a journal, once and in order, whichever thread has added it."""

from __future__ import annotations

import threading
from collections.abc import Callable, Sequence

from .entries import JournalEntry

__all__ = ["Follower"]


class Follower:
    """Tells of entries that were not told yet.

    :param after: returns the entries past a number.
    :param tell: called with each.
    """

    def __init__(self, after: Callable[[int], Sequence[JournalEntry]], tell: Callable[[JournalEntry], None]) -> None:
        self._after = after
        self._tell = tell
        self._told = 0
        self._telling = threading.RLock()  # whoever is told may inject a fault, which is an entry

    def deliver(self) -> None:
        """Tell of what is new."""
        with self._telling:
            while news := self._after(self._told):
                self._told += 1
                self._tell(news[0])
