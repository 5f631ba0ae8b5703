"""Know in the primary which worker reaches other hosts, and tell it what ended processes have held there."""

from __future__ import annotations

from collections import deque
from functools import partial
from typing import Final

from .exchange import Caller, Exchange, Moment, Returning
from .lock_desk import Abandoned, LockDesk

__all__ = ["FarDesk"]

_MOST_ABANDONED: Final = 4096
"""What is kept for the next worker that leads; what is forgotten ends by itself on the server."""


class FarDesk:
    """What the primary does for other hosts.

    Args:
        exchange: where the verbs are registered.
        locks: tell what was abandoned.

    Attributes:
        carrier: the worker that reaches other hosts; ``None`` while there is none.
    """

    def __init__(self, exchange: Exchange, locks: LockDesk) -> None:
        self.carrier: int | None = None
        self._exchange = exchange
        self._abandoned: deque[Abandoned] = deque(maxlen=_MOST_ABANDONED)
        exchange.verbs.on("carrier", bool, self._carries)
        exchange.when_told.append(self._told)
        locks.when_abandoned.append(self._was_abandoned)

    def _carries(self, caller: Caller, does: bool, _: Returning) -> None:
        if does:
            self.carrier = caller.id
            waiting = list(self._abandoned)
            self._abandoned.clear()
            for abandoned in waiting:
                self._was_abandoned(abandoned)
        elif self.carrier == caller.id:
            self.carrier = None

    def _told(self, moment: Moment, worker: int) -> None:
        if moment in ("left", "ended") and self.carrier == worker:
            self.carrier = None

    def _was_abandoned(self, abandoned: Abandoned) -> None:
        if self.carrier is None:
            self._abandoned.append(abandoned)
        else:
            self._exchange.ask(self.carrier, "let go", abandoned, partial(self._was_told, abandoned))

    def _was_told(self, abandoned: Abandoned, is_done: bool) -> None:
        if not is_done:
            self._abandoned.append(abandoned)
