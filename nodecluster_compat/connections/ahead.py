"""Hold back workers that are ahead of others: ``turns`` decides who and how often, this keeps the list.

Called with the lock of the dealer's loop held.  Its twin is ``native/ahead.c``, which works on the same objects.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping
from typing import Final

from .offers import OfferingEnd
from .served_listeners import ServedListeners
from .turns import Allowance, Turns

__all__ = ["PATIENCE", "Ahead"]

PATIENCE: Final = 400
"""Ticks for which an offer that lies keeps others from getting ahead."""


class Ahead:
    """Keeps the workers that are ahead of others.

    Args:
        listeners: those of the engine.
        offers: the ends with an offer that is not known to be taken, as ``open_offers`` keeps them.
        clock: seconds.

    Attributes:
        waiting: who waits (its id), and the listener of its last connection.
        turns: how many offers each has had.
        allowance: how often somebody may wait.
    """

    def __init__(
        self, listeners: ServedListeners, offers: Mapping[int, OfferingEnd], clock: Callable[[], float]
    ) -> None:
        self._listeners = listeners
        self._offers = offers
        self._clock = clock
        self.waiting: dict[int, int] = {}
        self.turns = Turns()
        self.allowance = Allowance(clock())

    def offered(self, worker_id: int) -> None:
        """A worker was offered a connection."""
        self.turns.offered(worker_id)
        self.waiting.pop(worker_id, None)

    def forget(self, worker_id: int) -> None:
        """A worker is gone."""
        self.turns.forget(worker_id)
        self.waiting.pop(worker_id, None)

    def is_to_wait(self, worker_id: int, last: int) -> bool:
        """Whether a worker that has taken its last connection waits for others; if so, that is noted.

        Args:
            worker_id: its id.
            last: the listener of that connection.
        """
        if not (self._offers and self._is_ahead(worker_id) and self.allowance.lets_wait(now := self._clock())):
            return False
        if not self.waiting:
            self.allowance.begin(now)
        self.waiting[worker_id] = last
        return True

    def that_follow(self) -> Iterator[tuple[int, int]]:
        """Yield each that waits no longer, and the listener of its last connection."""
        for worker_id in list(self.waiting):
            if worker_id in self.waiting and not self._is_ahead(worker_id):
                last = self.waiting.pop(worker_id)
                self.allowance.pay(self._clock())
                yield worker_id, last

    def _is_ahead(self, worker_id: int) -> bool:
        """Whether the worker is to wait for others that serve the same addresses."""
        behind = [other.worker_id for other in self._offers.values() if self._competes(worker_id, other)]
        return self.turns.is_ahead(worker_id, behind)

    def _competes(self, worker_id: int, other: OfferingEnd) -> bool:
        listener_id = 0 if other.offered is None or other.age >= PATIENCE else other.offered[0]
        return listener_id in self._listeners.round_robin and self._listeners[listener_id].dispatcher.serves(worker_id)
