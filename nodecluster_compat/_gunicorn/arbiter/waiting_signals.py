"""Keep the signals that wait to be carried out, equal ones once.

Carrying one out may take a moment, a reload for instance, and more come meanwhile.  The arbiter takes them one by one,
and turns its loop before each.

Two equal signals in a row are merged if the second could change nothing: a reload, opening log files, reaping children.
``TTIN`` and ``TTOU`` are one worker each, as gunicorn documents; they and the signals that end the server are never
merged, and nothing is merged across one of them, since ``HUP TTIN HUP`` leaves another number of workers than
``HUP TTIN`` does.
"""

from __future__ import annotations

import signal as signals
from collections import deque
from typing import Final

__all__ = ["WaitingSignals"]

_HARMLESS: Final = frozenset({signals.SIGCHLD, signals.SIGUSR1})
"""These change nothing that another one looks at: others may be merged across them."""

_MERGED: Final = _HARMLESS | {signals.SIGHUP, signals.SIGUSR2, signals.SIGWINCH}


class WaitingSignals:
    """Signals in the order in which they came."""

    def __init__(self) -> None:
        self._waiting: deque[int] = deque()

    def __bool__(self) -> bool:
        """Whether a signal waits."""
        return bool(self._waiting)

    def add(self, number: int) -> None:
        """A signal has come; one that an equal one stands for already is dropped."""
        if number not in _MERGED or not self._has(number):
            self._waiting.append(number)

    def take(self) -> int:
        """Return the first one, which is to be carried out now."""
        return self._waiting.popleft()

    def take_all(self) -> list[int]:
        """Return all of them."""
        taken = list(self._waiting)
        self._waiting.clear()
        return taken

    def _has(self, number: int) -> bool:
        """Whether an equal one waits, with nothing behind it that makes the order matter."""
        for other in reversed(self._waiting):
            if other == number:
                return True
            if other not in _HARMLESS and number not in _HARMLESS:
                return False
        return False
