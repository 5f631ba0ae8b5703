"""Judge whether a worker leaves an offer lying while another worker is idle.

A worker that waits in its loop wakes up at once, so an offer that lies for a tick or two has met one of these:

* it sleeps in something that its loop does not know (a database driver, ``time.sleep`` in C), is stopped, or dead;
* it computes;
* it would take the offer, but has not had a processor: the machine is overloaded.

In the first two the connection is better off with a worker that is idle.  In the third nobody would gain, and the
order of round robin would be lost: the idle one waits for the same processor.  So a worker that is able to run is
believed to be stuck only when it did run, for at least half of the time that it was looked at.

Pure but for what the two functions that it is given read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..machine.process_state import Condition

__all__ = ["StuckOffers"]

_OLD: Final = 2  # ticks
_SHARE: Final = 0.5


class StuckOffers:
    """Looks at the workers that have an offer which is not taken.

    Args:
        condition_of: says what a process (its pid) does.
        seconds_run: says how long a process has run so far.
    """

    def __init__(self, condition_of: Callable[[int], Condition], seconds_run: Callable[[int], float]) -> None:
        self._condition_of = condition_of
        self._seconds_run = seconds_run
        self._first_looks: dict[int, tuple[float, float]] = {}  # by worker: when, how long it had run

    def is_stuck(self, worker_id: int, pid: int, age: int, now: float) -> bool:
        """Return whether the offer should go to another.

        Args:
            worker_id: whose offer.
            pid: its process.
            age: ticks since it was offered.
            now: the time in seconds.
        """
        if age < _OLD:
            self._first_looks[worker_id] = (now, self._seconds_run(pid))
            return False
        if self._condition_of(pid) != "running":
            self.forget(worker_id)
            return True
        first = self._first_looks.setdefault(worker_id, (now, self._seconds_run(pid)))
        if now <= first[0] or self._seconds_run(pid) - first[1] < _SHARE * (now - first[0]):
            return False
        self.forget(worker_id)
        return True

    def forget(self, worker_id: int) -> None:
        """The offer was taken, or taken back; or the worker is gone."""
        self._first_looks.pop(worker_id, None)
