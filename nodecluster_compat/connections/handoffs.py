"""Hand connections to workers, and pause a worker to which the kernel cannot hand one now.

A worker to which nothing can be handed (too many descriptors under way, no memory, a channel that is full because its
worker breaks the protocol) is left alone for a moment: the connection goes to another, or waits.  That is logged once
for each episode, which is over when a second has passed without a failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from ..base.log import Log
from ..base.loop import Loop
from ..base.records import Connection
from .offers import OfferingEnd

__all__ = ["Handoffs"]

_PAUSE: Final = 0.05
_EPISODE_SECONDS: Final = 1.0


class Handoffs:
    """Hands connections to the workers of one primary.

    Args:
        end_of: returns the connection channel of a worker (its id), ``None`` when it is gone.
        loop: the primary's.
        log: told once for each episode.
        join_again: lets a worker (its id) take connections of a listener (its number) again.
    """

    def __init__(
        self,
        end_of: Callable[[int], OfferingEnd | None],
        loop: Loop,
        log: Log,
        join_again: Callable[[int, int], None],
    ) -> None:
        self._end_of = end_of
        self._loop = loop
        self._log = log
        self._join_again = join_again
        self._failures: Counter[int] = Counter()  # of each worker, in this episode

    def deliver(self, listener_id: int, worker_id: int, connection: Connection) -> bool:
        """Send a connection; ``False`` when the worker is out of reach, for good or for now."""
        end = self._end_of(worker_id)
        if end is None:
            return False
        try:
            return end.offer(listener_id, connection.fd)
        except OSError as error:
            self._failed(worker_id, listener_id, error)
            return False

    def _failed(self, worker_id: int, listener_id: int, error: OSError) -> None:
        if not self._failures[worker_id]:
            self._log.warning("Cannot hand connections to worker %s now: %s. Trying again.", worker_id, error)
        self._failures[worker_id] += 1
        self._loop.call_later(_PAUSE, self._join_again, worker_id, listener_id)
        self._loop.call_later(_EPISODE_SECONDS, self._settled, worker_id, self._failures[worker_id])

    def _settled(self, worker_id: int, failures: int) -> None:
        if failures == self._failures[worker_id]:
            self._log.info("Connections go to worker %s again", worker_id)
            del self._failures[worker_id]
