"""Sample the queues of the primary every now and then, for ``queue_timeout`` and the status."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING, Final

from ...connections.queue_watch import SAMPLE_SECONDS
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...connections.dealer import Dealer
    from ...connections.queue_watch import QueueStatus

__all__ = ["Pressure"]

_SAMPLES: Final = 4  # within ``queue_timeout``
_SHORTEST_PAUSE: Final = 0.05


class Pressure:
    """Samples the queues of one primary.

    Args:
        loop: the primary's.
        dealer: has the queues.
    """

    def __init__(self, loop: Loop, dealer: Dealer) -> None:
        self._loop = loop
        self._dealer = dealer
        self._sample()

    @property
    def status(self) -> QueueStatus:
        """How many wait, and how many no longer do."""
        return self._dealer.queue_status()

    def _sample(self) -> None:
        limit = settings_in_force().queue_timeout
        self._dealer.sample_queues(time.monotonic(), limit)
        pause = max(_SHORTEST_PAUSE, min(limit / _SAMPLES, SAMPLE_SECONDS)) if limit else SAMPLE_SECONDS
        self._loop.call_later(pause, self._sample)
