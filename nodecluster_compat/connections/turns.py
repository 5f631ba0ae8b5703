"""Keep round robin exact on a busy machine: nobody gets ahead of a worker that only waits for a processor.

A worker that waits in its loop takes what it is offered at once, if it gets a processor.  On a machine with fewer
processors than work it may wait for one, while another, which has one, takes whatever comes: of thirty connections at
once, one of three workers got up to twenty-eight.  The others could have taken theirs a millisecond later, and would
have had as little to do.

So every offer has a number, and a worker that was offered :data:`LEAD` connections after one that still lies in
another's channel is *ahead* of that other.  It gets no further one before the other has taken its own, or the offer was
taken from it (``stuck_offers``: it computes, sleeps, or is gone), or has lain for long.  So nobody waits for a worker
that is blocked longer than it takes to find that out.

A machine that never has a processor to spare would feel that.  Bursts are what matters: of connections that come all
the time each worker gets its share anyhow.  So there is an :class:`Allowance`, and behind that whoever is first takes
what comes, as in Node.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["LEAD", "Allowance", "Turns"]

LEAD: Final = 2
"""Connections.  With one, workers whose requests take a little longer than others' would often hold those up."""

_MOST: Final = 0.1  # seconds: a burst of some hundred connections
_SHARE: Final = 0.02  # of the time


class Turns:
    """The order of the offers that were made."""

    __slots__ = ("_last", "_offers")

    def __init__(self) -> None:
        self._last = 0
        self._offers: dict[int, tuple[int, ...]] = {}  # of each worker: the numbers of the last ones, the latest last

    def offered(self, worker_id: int) -> None:
        """A worker was offered a connection."""
        self._last += 1
        self._offers[worker_id] = (*self._offers.get(worker_id, ())[1 - LEAD :], self._last)

    def is_ahead(self, worker_id: int, behind: Iterable[int]) -> bool:
        """Return whether a worker has had too many offers since one of those got the one that it has not taken.

        Args:
            worker_id: which has taken what it was offered.
            behind: workers that have not.
        """
        mine = self._offers.get(worker_id, ())
        return len(mine) == LEAD and any(self._offers[other][-1] < mine[0] for other in behind)

    def forget(self, worker_id: int) -> None:
        """A worker is gone."""
        self._offers.pop(worker_id, None)


class Allowance:
    """For how long workers may be made to wait: so long at once, and a small share of the time.

    Args:
        now: the time in seconds.
    """

    __slots__ = ("_left", "_then")

    def __init__(self, now: float) -> None:
        self._left = _MOST
        self._then = now

    def is_left(self, now: float) -> bool:
        """Return whether another one may wait.

        Args:
            now: as above.
        """
        self._left = min(_MOST, self._left + (now - self._then) * _SHARE)
        self._then = now
        return self._left > 0

    def spend(self, seconds: float) -> None:
        """A worker has waited so long."""
        self._left -= seconds
