"""Leave a worker alone for a moment when the kernel cannot hand it a connection.

Too many descriptors under way, no memory: the connection goes to another, or waits.  That is logged once for each
episode, which is over when a second has passed without a failure.
"""

from __future__ import annotations

from collections import Counter
from collections.abc import Callable
from typing import Final

from ..base.log import Log
from .dealing_loop import DealingLoop

__all__ = ["FailedHandoffs"]

_PAUSE: Final = 0.05
_EPISODE_SECONDS: Final = 1.0


class FailedHandoffs:
    """Counts what the kernel refuses, by worker.

    Args:
        loop: that of the dealer.
        log: told once for each episode.
        join_again: lets a worker (its id) take connections of a listener (its number) again.
    """

    def __init__(self, loop: DealingLoop, log: Log, join_again: Callable[[int, int], None]) -> None:
        self._loop = loop
        self._log = log
        self._join_again = join_again
        self._failures: Counter[int] = Counter()  # of each worker, in this episode
        self._waiting: set[tuple[int, int]] = set()  # workers and listeners: to join again

    def failed(self, worker_id: int, listener_id: int, error: OSError | MemoryError) -> None:
        """A connection of this listener could not be handed to this worker."""
        if not self._failures[worker_id]:
            reason = str(error) or type(error).__name__
            self._log.warning("Cannot hand connections to worker %s now: %s. Trying again.", worker_id, reason)
        self._failures[worker_id] += 1
        self._waiting.add((worker_id, listener_id))
        self._loop.call_later(_PAUSE, self._join, worker_id, listener_id)
        self._loop.call_later(_EPISODE_SECONDS, self._settled, worker_id, self._failures[worker_id])

    def left(self, worker_id: int, listener_id: int) -> None:
        """The worker takes no further connections of this listener: it does not join again."""
        self._waiting.discard((worker_id, listener_id))

    def _join(self, worker_id: int, listener_id: int) -> None:
        if (worker_id, listener_id) in self._waiting:
            self._waiting.discard((worker_id, listener_id))
            self._join_again(worker_id, listener_id)

    def _settled(self, worker_id: int, failures: int) -> None:
        if failures == self._failures[worker_id]:
            self._log.info("Connections go to worker %s again", worker_id)
            del self._failures[worker_id]
