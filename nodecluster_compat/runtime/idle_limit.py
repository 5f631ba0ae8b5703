"""Ends connections on which no further request comes: one timer for a worker, not one for each wait.

gunicorn starts a timer when it waits for a request and stops it when one has come, which is nearly always at once.
Here the wait is noted with its deadline, and a sweep every now and then looks at the oldest.  All deadlines are equally
far, so the notes are in order and a sweep looks only at those that are over.  A connection ends up to
:data:`SWEEP_SECONDS` late; the timer runs only while somebody waits.
"""

from __future__ import annotations

from time import monotonic
from types import TracebackType
from typing import Any, Final

from gevent import Timeout, get_hub, getcurrent

__all__ = ["SWEEP_SECONDS", "IdleLimit"]

SWEEP_SECONDS: Final = 0.1


class IdleLimit:
    """A context manager that ends the wait of the greenlet inside it after ``seconds``, without an exception.

    Args:
        seconds: how long one wait may last.
    """

    __slots__ = ("_expired", "_seconds", "_timer", "_waiting")

    def __init__(self, seconds: float) -> None:
        self._seconds = seconds
        self._waiting: dict[Any, float] = {}
        self._timer: Any = None
        self._expired = Timeout(None, False)

    def __enter__(self) -> None:
        self._waiting[getcurrent()] = monotonic() + self._seconds
        if self._timer is None:
            self._start()

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> bool:
        self._waiting.pop(getcurrent(), None)
        return error is self._expired

    @property
    def waiting(self) -> list[Any]:
        """The greenlets that are inside."""
        return list(self._waiting)

    def _start(self) -> None:
        self._timer = get_hub().loop.timer(SWEEP_SECONDS, SWEEP_SECONDS)
        self._timer.start(self._sweep)

    def _sweep(self) -> None:
        now = monotonic()
        while self._waiting:
            greenlet, deadline = next(iter(self._waiting.items()))
            if deadline > now:
                return
            del self._waiting[greenlet]
            greenlet.throw(self._expired)
        self._timer.stop()
        self._timer.close()
        self._timer = None
