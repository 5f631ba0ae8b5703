"""Sample the queues of the primary every now and then, for ``queue_timeout`` and the status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ...connections.waiting import SAMPLE_SECONDS, QueueWatch
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...base.log import Log
    from ...base.loop import Loop
    from ...connections.dealer import Dealer
    from ...connections.waiting import QueueStatus

__all__ = ["Pressure"]

_SAMPLES: Final = 4  # within ``queue_timeout``
_SHORTEST_PAUSE: Final = 0.05


class Pressure:
    """Samples the queues of one primary.

    Args:
        loop: the primary's.
        listeners: those that have the queues.
        log: says when connections are closed because nobody takes them.
    """

    def __init__(self, loop: Loop, listeners: Dealer, log: Log) -> None:
        self._loop = loop
        self._watch = QueueWatch(listeners, log)
        self._sample()

    @property
    def status(self) -> QueueStatus:
        """How many wait, and how many no longer do."""
        return self._watch.status

    def _sample(self) -> None:
        limit = settings_in_force().queue_timeout
        self._watch.sample(time.monotonic(), limit)
        pause = max(_SHORTEST_PAUSE, min(limit / _SAMPLES, SAMPLE_SECONDS)) if limit else SAMPLE_SECONDS
        self._loop.call_later(pause, self._sample)
