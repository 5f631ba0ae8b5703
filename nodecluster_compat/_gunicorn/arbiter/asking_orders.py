"""Answer what operators ask of a running server: its status, its exits, its events, what a worker is doing."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from functools import partial
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import OrderRefused
from ...operations.orders import no_arguments, number_of
from ...operations.routes import HttpAnswer, json_answer
from ...operations.status_document import document_of
from .finding_workers import described, workers_asked_for

if TYPE_CHECKING:
    from ...operations.chronicle import Chronicle
    from ...operations.control_frames import HttpHead
    from ...operations.orders import OrderAnswer, Orders
    from ...operations.routes import Routes
    from ...roles.status import ClusterStatus
    from ...roles.worker_handle import WorkerEntry
    from .health import Health
    from .seat import Seat
    from .status_board import StatusBoard

__all__ = ["AskingOrders"]

_LAST_EVENTS: Final = -20


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which is asked."""

        board: StatusBoard
        health: Health

        def status(self) -> ClusterStatus:
            """Return how the cluster is."""


class AskingOrders:
    """The orders that change nothing, and what can be read by HTTP.

    Args:
        arbiter: who is asked.
        chronicle: knows what has happened.
        orders: where they are registered.
        routes: likewise.
    """

    def __init__(self, arbiter: _Seat, chronicle: Chronicle, orders: Orders, routes: Routes) -> None:
        self._arbiter = arbiter
        self._chronicle = chronicle
        for verb, help_line, take in (
            ("status", "The status of the server, all of it", self._status),
            ("workers", "The workers: slot, pid, state, health", self._workers),
            ("exits", "How the last workers ended, and why", self._exits),
            ("live", "Whether the server is of any use", self._live),
            ("ready", "Whether a request would be answered now", self._ready),
        ):
            orders.on(verb, verb, help_line, no_arguments(take))
        orders.on(
            "stacks", "stacks [SLOT|all]", "What the threads, greenlets and tasks of workers are doing", self._stacks
        )
        orders.on("events", "events [AFTER] [wait]", "What has happened since the event with that number", self._events)
        routes.on("/status.json", lambda _: json_answer(self._status()))
        routes.on("/livez", partial(_probe, self._live, "live"))
        routes.on("/readyz", partial(_probe, self._ready, "ready"))

    # --- the status ----------------------------------------------------------------------------

    def _status(self) -> dict[str, Any]:
        return document_of(self._arbiter.status())

    def _workers(self) -> dict[str, Any]:
        return {"workers": self._arbiter.status().workers}

    def _exits(self) -> dict[str, Any]:
        status = self._arbiter.status()
        return {"exits": status.exits, "totals": status.totals.exits}

    def _live(self) -> dict[str, Any]:
        status = self._arbiter.board.outline()
        return {"live": status.is_live, **_told(status)}

    def _ready(self) -> dict[str, Any]:
        status = self._arbiter.board.outline()
        return {"ready": status.is_ready, **_told(status)}

    # --- what happens --------------------------------------------------------------------------

    def _events(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        words = list(arguments)
        waits = bool(words) and words[-1] == "wait"
        number = words[:-1] if waits else words
        if len(number) > 1:
            raise OrderRefused(f"expected the number of an event, and 'wait', got {' '.join(words)!r}")
        after = int(number_of(number[0], "the number of an event", -1e6, 1e12)) if number else _LAST_EVENTS
        self._chronicle.after(after, answer, waits=waits)

    def _stacks(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        entries = workers_asked_for(self._arbiter, arguments)
        if not entries:
            answer({"workers": []})
            return
        collected = _Collected(entries, answer)
        for entry in entries:
            assert entry.handle is not None
            self._arbiter.health.examiner.ask(entry.handle, partial(collected.take, entry))


class _Collected:
    """Stacks of several workers, until all of them are there."""

    def __init__(self, entries: Sequence[WorkerEntry], answer: OrderAnswer) -> None:
        self._entries = entries
        self._answer = answer
        self._stacks: dict[int, str] = {}

    def take(self, entry: WorkerEntry, stacks: str) -> None:
        """Note that one of them has answered."""
        self._stacks[entry.pid] = stacks
        if len(self._stacks) == len(self._entries):
            self._answer({"workers": [{**described(one), "stacks": self._stacks[one.pid]} for one in self._entries]})


def _told(status: ClusterStatus) -> dict[str, Any]:
    return {"state": status.state, "listening": status.listening, "target": status.target, "pid": status.pid}


def _probe(take: Callable[[], Mapping[str, Any]], word: str, _: HttpHead) -> HttpAnswer:
    said = take()
    return json_answer(said, 200 if said[word] else 503)
