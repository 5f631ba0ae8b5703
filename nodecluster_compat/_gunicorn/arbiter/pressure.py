"""The queues of the primary, looked at every now and then; what is looked for is in ``queue_watch``."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ...connections.waiting import LOOK_SECONDS, QueueWatch

if TYPE_CHECKING:
    from ...connections.waiting import QueueStatus
    from .cluster_arbiter import ClusterArbiter

__all__ = ["Pressure"]

_LOOKS: Final = 4  # within ``queue_timeout``
_SHORTEST_LOOK: Final = 0.05


class Pressure:
    """Has the queues of one arbiter looked at."""

    def __init__(self, arbiter: ClusterArbiter) -> None:
        self._arbiter = arbiter
        self._watch = QueueWatch(arbiter.primary.listeners, arbiter.log)
        self._look()

    @property
    def status(self) -> QueueStatus:
        """How many wait, and how many no longer do."""
        return self._watch.status

    def _look(self) -> None:
        self._arbiter.supervisor.configure()
        limit = self._arbiter.supervisor.settings.queue_timeout
        self._watch.look(time.monotonic(), limit)
        pause = max(_SHORTEST_LOOK, min(limit / _LOOKS, LOOK_SECONDS)) if limit else LOOK_SECONDS
        self._arbiter.loop.call_later(pause, self._look)
