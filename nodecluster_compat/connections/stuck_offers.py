"""Judge whether a worker leaves an offer lying while another worker is idle.

A worker that waits in its loop wakes up at once, so an offer that lies for a tick or two has met one of these:

* it sleeps in something that its loop does not know (a database driver, ``time.sleep`` in C), is stopped, or dead;
* it computes;
* it would take the offer, but has not had a processor: the machine is overloaded.

In the first two the connection is better off with a worker that is idle.  In the third nobody would gain, and the
order of round robin would be lost: the idle one waits for the same processor.  So a worker that is able to run is
believed to be stuck only when it did run, for at least half of the time that it was looked at.

Two looks are needed for that, with some milliseconds between them, because the kernel may count what a running process
has used by its own ticks only (of 1 to 10 ms, by its configuration).

A worker that has answered requests meanwhile is at work on many that came at once, and takes the offer at the end of
that turn of its loop.  One that has not answered any so far needs more for its first.  Both are given some milliseconds
of a processor: beyond that an offer is better off elsewhere.

Pure but for what the three functions that it is given read.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final, Protocol

from ..machine.process_state import Condition

__all__ = ["OLD", "StuckOffers"]

OLD: Final = 2
"""Ticks after which an offer is judged."""

_SHARE: Final = 0.5
_WINDOW_SECONDS: Final = 0.012  # what it ran before that says nothing of now
_RECENT_SECONDS: Final = 0.005
_SHORTEST_SECONDS: Final = 0.0008
_LONG_TURN_SECONDS: Final = 0.008  # of a processor, since the first look


class Lying(Protocol):
    """An offer that lies in a worker's channel.

    Attributes:
        worker_id: whose.
        pid: the worker's process.
        age: ticks since it was offered; at rest one for the time until the first look.
        looks: when its worker was looked at, and for how long that had run by then, and how many requests it had
            answered: the first time and the last two.
    """

    worker_id: int
    pid: int
    age: int
    looks: tuple[tuple[float, float, int], ...]


class StuckOffers:
    """Looks at the workers that have an offer which is not taken.

    Args:
        condition_of: says what a process (its pid) does.
        seconds_run: says how long a process has run so far, with all its threads.
        answered: says how many requests a worker (its id) has answered; -1: nobody knows.
    """

    def __init__(
        self,
        condition_of: Callable[[int], Condition],
        seconds_run: Callable[[int], float],
        answered: Callable[[int], int] = lambda _: -1,
    ) -> None:
        self._condition_of = condition_of
        self._seconds_run = seconds_run
        self._answered = answered

    def is_stuck(self, offer: Lying, now: float) -> bool:
        """Return whether the offer should go to another.

        Args:
            offer: notes the look.
            now: the time in seconds.
        """
        if offer.age >= OLD and self._condition_of(offer.pid) != "running":
            return True
        looks = [look for look in offer.looks if now - look[0] <= _WINDOW_SECONDS]
        if not looks or now - looks[-1][0] > _RECENT_SECONDS:
            self._look(offer, now)
        if offer.age < OLD or not looks or now - looks[0][0] < _SHORTEST_SECONDS:
            return False
        then, had_run, had_answered = looks[0]
        run = self._seconds_run(offer.pid)
        if run - had_run < _SHARE * (now - then):
            return False
        return run - offer.looks[0][1] >= _LONG_TURN_SECONDS or not self._answers(offer, had_answered)

    def _answers(self, offer: Lying, had_answered: int) -> bool:
        answered = self._answered(offer.worker_id)
        return answered == 0 or answered > had_answered

    def _look(self, offer: Lying, now: float) -> None:
        look = now, self._seconds_run(offer.pid), self._answered(offer.worker_id)
        offer.looks = (*offer.looks[:1], *offer.looks[1:][-1:], look)
