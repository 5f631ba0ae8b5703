"""Handing connections to workers, and what is done when the kernel cannot take one now.

A worker to which nothing can be handed (too many descriptors under way, no memory, a channel that is full because its
worker breaks the protocol) is left alone for a moment: the connection goes to another, or waits.  That is logged once
for each episode, which is over when a second has passed without a failure.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..base.emitter import Log
from ..base.loop import Loop
from ..base.records import Connection
from ..lifecycle.registry import Registry
from ..roles.worker_handle import WorkerHandle

__all__ = ["Handoffs"]

_PAUSE: Final = 0.05
_EPISODE_SECONDS: Final = 1.0


class Handoffs:
    """Hands connections to the workers of one primary.

    Args:
        registry: has the workers.
        loop: the primary's.
        log: told once for each episode.
        join_again: lets a worker take connections of a listener (its number) again.
    """

    def __init__(
        self,
        registry: Registry[WorkerHandle],
        loop: Loop,
        log: Log,
        join_again: Callable[[WorkerHandle, int], None],
    ) -> None:
        self._workers = registry.by_id
        self._loop = loop
        self._log = log
        self._join_again = join_again

    def deliver(self, listener_id: int, worker_id: int, connection: Connection) -> bool:
        """Send a connection; ``False`` when the worker is out of reach, for good or for now."""
        worker = self._workers.get(worker_id)
        if worker is None:
            return False
        try:
            return worker.connections.offer(listener_id, connection.fd)
        except OSError as error:
            self._failed(worker, listener_id, error)
            return False

    def _failed(self, worker: WorkerHandle, listener_id: int, error: OSError) -> None:
        if not worker.failed_handoffs:
            self._log.warning("Cannot hand connections to worker %s now: %s. Trying again.", worker.id, error)
        worker.failed_handoffs += 1
        self._loop.call_later(_PAUSE, self._join_again, worker, listener_id)
        self._loop.call_later(_EPISODE_SECONDS, self._settled, worker, worker.failed_handoffs)

    def _settled(self, worker: WorkerHandle, failures: int) -> None:
        if failures == worker.failed_handoffs:
            self._log.info("Connections go to worker %s again", worker.id)
            worker.failed_handoffs = 0
