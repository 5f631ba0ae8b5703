"""Answer which requests are in flight, oldest first, and at which line of code each is.

A worker that waits in a system call, and blocks thereby, tells its threads only, so of its requests it is not known
where each of them is; where the worker itself is, is known, and is told beside them.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...operations.stack_places import place_of_worker, places_of
from .finding_workers import described, workers_asked_for

if TYPE_CHECKING:
    from ...operations.metrics.counts import InFlight
    from ...operations.metrics.ledger import Ledger
    from ...operations.orders import OrderAnswer, Orders
    from ...roles.worker_handle import WorkerEntry
    from .health import Health
    from .seat import Seat

__all__ = ["RequestOrders"]

_MOST: Final = 1000  # of each worker


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which is asked."""

        health: Health
        ledger: Ledger


class RequestOrders:
    """The order ``requests``.

    Args:
        arbiter: who is asked.
        orders: where it is registered.
    """

    def __init__(self, arbiter: _Seat, orders: Orders) -> None:
        self._arbiter = arbiter
        orders.on("requests", "requests [SLOT|all]", "The requests in flight, oldest first", self._requests)

    def _requests(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        arbiter, report = self._arbiter, _Report(answer)
        for entry in workers_asked_for(arbiter, arguments):
            if entry.handle is not None:
                report.expect(entry, partial(arbiter.ledger.in_flight, entry.handle.id))
        report.begin(self._arbiter.health)


class _Report:
    """The requests of several workers, until it is known of all where they are."""

    def __init__(self, answer: OrderAnswer) -> None:
        self._answer = answer
        self._now = time.monotonic()
        self._expected: list[tuple[WorkerEntry, Callable[[], Sequence[InFlight]]]] = []
        self._found: list[dict[str, Any]] = []
        self._missing = 0

    def expect(self, entry: WorkerEntry, in_flight: Callable[[], Sequence[InFlight]]) -> None:
        """A worker may have some: asked before its stacks, and after them, with which it says who has each."""
        if in_flight():
            self._expected.append((entry, in_flight))

    def begin(self, health: Health) -> None:
        """Ask the workers for their stacks, and answer when all are there."""
        self._missing = len(self._expected)
        if not self._missing:
            self._answer({"requests": []})
        for entry, in_flight in self._expected:
            assert entry.handle is not None
            health.examiner.ask(entry.handle, partial(self._take, entry, in_flight))

    def _take(self, entry: WorkerEntry, in_flight: Callable[[], Sequence[InFlight]], stacks: str) -> None:
        places, worker_at = places_of(stacks), place_of_worker(stacks)
        self._found += [{**self._told(entry, one, places), "worker_at": worker_at} for one in in_flight()[:_MOST]]
        self._missing -= 1
        if not self._missing:
            self._found.sort(key=lambda one: -one["age"])
            self._answer({"requests": self._found})

    def _told(self, entry: WorkerEntry, one: InFlight, places: Mapping[int, str]) -> dict[str, Any]:
        return {
            **described(entry),
            "age": round(self._now - one.since, 3),
            "method": one.method,
            "path": one.path,
            "client": one.client,
            "runs_in": f"{one.ident:#x}" if one.ident else None,
            "at": places.get(one.ident),
        }
