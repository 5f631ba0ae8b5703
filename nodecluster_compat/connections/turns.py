"""Keep round robin exact on a busy machine: no worker gets ahead of one that only waits for a processor.

A worker that waits in its loop takes an offer at once if it gets a processor.  On a machine with more work than
processors it may wait for one, while another worker, which has a processor, takes whatever comes: of thirty connections
at once, one of three workers got up to twenty-eight.  The others could have taken theirs a millisecond later, and would
have had as little to do.

So offers are counted.  A worker is *ahead* of another if it has had more offers, and one still lies in the other's
channel.  It gets no further one until the other has taken its offer, or the offer was taken
back (``stuck_offers``: the other computes, sleeps, or is gone), or has lain for long.  So nobody waits for a blocked
worker longer than it takes to find out that it is blocked.

All offers count, not only those since the one that lies: otherwise a worker that is a little slower each time would get
half of a burst that the others get.  But nobody has to make up for more than :data:`MOST_BEHIND`, whether the other was
blocked for long, has just begun, or gets fewer because their clients belong to others.

No processor idles for that: a worker that waits leaves its processor to others.  The cost is a switch between processes
each time, which a machine would feel that never has a processor to spare.  Bursts matter most: of connections that come
all the time each worker gets its share anyhow.  So there is an :class:`Allowance`, and once it is spent the first
worker takes what comes, as in Node.

The allowance counts above all how often workers wait.  How long they wait depends on how busy the machine is: where
other programs take the processors, a burst of 160 connections over 8 workers makes workers wait thirty times, whether
it is served within half a second or within five.  The time counts as well because some workers hardly ever get a
processor: connections must not wait for those for ever.

Rejected: an allowance of time alone.  Two seconds and 2 % were spent by the fourteenth such burst, or within the first.

Pure: no sockets, no clock.
"""

from __future__ import annotations

from collections.abc import Iterable
from typing import Final

__all__ = ["EACH", "LEAD", "MOST_BEHIND", "MOST_LEFT", "SHARE", "Allowance", "Turns"]

LEAD: Final = 2
"""Connections that one worker may be offered before another has taken the one that it was offered with the first."""

MOST_BEHIND: Final = 4
"""Connections that a worker may be short of, and get while others wait."""

MOST_LEFT: Final = 20.0
"""Seconds for which workers may be made to wait at once: bursts of some thousand connections."""

SHARE: Final = 0.5
"""Of the time: so much of it in the long run."""

EACH: Final = 0.008
"""Seconds that each time counts for besides: so sixty times a second in the long run, if nobody waits for long."""


class Turns:
    """How many offers each worker has had."""

    __slots__ = ("_counts", "_most")

    def __init__(self) -> None:
        self._counts: dict[int, int] = {}
        self._most = 0

    def offered(self, worker_id: int) -> None:
        """A worker was offered a connection."""
        count = max(self._counts.get(worker_id, self._most - 1), self._most - MOST_BEHIND) + 1
        self._counts[worker_id] = count
        self._most = max(self._most, count)

    def taken_back(self, worker_id: int) -> None:
        """Count an offer less: the worker has not taken it, and another one gets it."""
        if worker_id in self._counts:
            self._counts[worker_id] -= 1

    def is_ahead(self, worker_id: int, behind: Iterable[int]) -> bool:
        """Return whether a worker has had too many offers beside those that have one which they have not taken.

        Args:
            worker_id: which has taken what it was offered.
            behind: workers that have not.
        """
        counts = self._counts
        least = counts.get(worker_id, self._most) - LEAD + 1
        return any(counts[other] <= least for other in behind)

    def forget(self, worker_id: int) -> None:
        """A worker is gone."""
        self._counts.pop(worker_id, None)


class Allowance:
    """How often and for how long workers may be made to wait: so much at once, and a share of the time.

    Args:
        now: the time in seconds.
    """

    __slots__ = ("_left", "_since", "_then")

    def __init__(self, now: float) -> None:
        self._left = MOST_LEFT
        self._then = self._since = now

    def lets_wait(self, now: float) -> bool:
        """Return whether another one may wait, and count that it does.

        Args:
            now: as above.
        """
        self._left = min(MOST_LEFT, self._left + (now - self._then) * SHARE)
        self._then = now
        is_left = self._left > 0
        if is_left:
            self._left -= EACH
        return is_left

    def begin(self, now: float) -> None:
        """Somebody waits, and nobody did."""
        self._since = now

    def pay(self, now: float) -> None:
        """Somebody waits no longer: count the time since the last one who did, or since the first began to wait."""
        self.spend(now - self._since)
        self._since = now

    def spend(self, seconds: float) -> None:
        """Count that somebody has waited so long."""
        self._left -= seconds
