"""Let the wall clock of this process jump, by ``time-machine``: ``time.time``, ``datetime.now`` and all that read it.

``time.monotonic`` goes on as it does, as it would on a machine whose clock is set.
"""

from __future__ import annotations

from datetime import datetime, timedelta, timezone
from importlib import import_module
from typing import Any

from ..wire.records import Jump
from .armed import Armed

__all__ = ["ClockPlace"]


class ClockPlace:
    """What is armed at ``clock``."""

    def __init__(self) -> None:
        self._traveller: Any = None

    def __call__(self, armed: tuple[Armed, ...]) -> None:
        """Go before or after by the sum of what *armed* says.

        :raises ImportError: there is no ``time_machine``.
        """
        seconds = sum(one.failpoint.action.seconds for one in armed if isinstance(one.failpoint.action, Jump))
        if self._traveller is not None:
            self._traveller.stop()
            self._traveller = None
        if seconds:
            moment = datetime.now(timezone.utc) + timedelta(seconds=seconds)
            self._traveller = import_module("time_machine").travel(moment, tick=True)
            self._traveller.start()
