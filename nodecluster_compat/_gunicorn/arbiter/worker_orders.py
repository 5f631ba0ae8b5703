"""Have a worker examined by itself when an operator asks: its log, a profile, its heap.

An order goes into the worker's notebook and a signal says so; the result is looked for there until it has come.  The
worker's loop has no part in it, so one that is blocked in Python answers as well.
"""

from __future__ import annotations

import os
import time
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import OrderRefused
from ...machine.process_state import catches
from ...machine.real_time_signals import ENGINE_STACKS_SIGNAL
from ...operations.orders import number_of
from .finding_workers import described, one_worker, workers_named

if TYPE_CHECKING:
    from ...operations.orders import OrderAnswer, Orders
    from ...roles.worker_handle import WorkerEntry
    from .exit_history import ExitHistory
    from .seat import Seat

__all__ = ["WorkerOrders"]

_PAUSE: Final = 0.1
_PATIENCE: Final = 10.0  # beyond what the order itself takes
_MOST_SECONDS: Final = 300.0
_USUAL_RATE: Final = "100"
_HEAP: Final = ("show", "start", "stop")


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose workers are examined."""

        exits: ExitHistory


class WorkerOrders:
    """The orders that a worker carries out.

    Args:
        arbiter: whose workers they are.
        orders: where they are registered.
    """

    def __init__(self, arbiter: _Seat, orders: Orders) -> None:
        self._arbiter = arbiter
        self._busy: set[int] = set()  # the ids of workers that have an order
        orders.on("logs", "logs SLOT [SINCE]", "The end of a worker's log", self._logs)
        orders.on("profile", "profile SLOT SECONDS [RATE]", "Sample what a worker is doing", self._profile)
        orders.on("heap", "heap SLOT [show|start|stop]", "What takes a worker's memory, line by line", self._heap)

    def _logs(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        if not 1 <= len(arguments) <= 2:
            raise OrderRefused("expected one worker, such as 2, and since which byte")
        since = int(number_of(arguments[1], "a number of bytes", 0, 1e18)) if len(arguments) == 2 else 0
        try:
            entry = workers_named(self._arbiter, arguments[0])[0]
        except OrderRefused as error:
            answer(self._log_of_dead(arguments[0], error))
            return
        assert entry.handle is not None
        notebook = entry.handle.notebook
        written, text = (0, "") if notebook is None else notebook.read_log(since)
        answer({**described(entry), "written": written, "log": text})

    def _log_of_dead(self, name: str, error: OrderRefused) -> dict[str, Any]:
        """Return the last words of the last worker that had a slot, if nobody has it now."""
        for one in reversed(self._arbiter.exits.last):
            if name in (str(one.slot), f"pid:{one.pid}", f"id:{one.id}"):
                text = "".join(f"{line}\n" for line in one.last_words)
                return {"id": one.id, "slot": one.slot, "pid": one.pid, "written": 0, "log": text}
        raise error

    def _profile(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        if not 2 <= len(arguments) <= 3:
            raise OrderRefused("expected a worker, such as 2, how many seconds, and how often a second")
        seconds = number_of(arguments[1], "seconds", 0.1, _MOST_SECONDS)
        rate = number_of(arguments[2] if len(arguments) == 3 else _USUAL_RATE, "samples a second", 1, 1000)
        self._give(one_worker(self._arbiter, arguments[:1]), f"profile {seconds:g} {rate:g}", seconds, answer)

    def _heap(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        action = arguments[1] if len(arguments) == 2 else "show"
        if action not in _HEAP or not 1 <= len(arguments) <= 2:
            raise OrderRefused(f"expected a worker, such as 2, and one of {', '.join(_HEAP)}")
        number = 1 if action == "start" else 25
        self._give(one_worker(self._arbiter, arguments[:1]), f"heap {action} {number}", 0.0, answer)

    # --- giving an order -----------------------------------------------------------------------

    def _give(self, entry: WorkerEntry, order: str, seconds: float, answer: OrderAnswer) -> None:
        worker = entry.handle
        assert worker is not None
        if worker.notebook is None or not worker.notebook.is_open or not catches(entry.pid, ENGINE_STACKS_SIGNAL):
            raise OrderRefused("it is not prepared to be asked: it still boots")
        if worker.id in self._busy:
            raise OrderRefused("somebody else examines it now: try again when that has ended")
        number = worker.notebook.give_order(order)
        os.kill(entry.pid, ENGINE_STACKS_SIGNAL)
        self._busy.add(worker.id)
        self._collect(entry, number, time.monotonic() + seconds + _PATIENCE, answer)

    def _collect(self, entry: WorkerEntry, number: int, deadline: float, answer: OrderAnswer) -> None:
        worker = entry.handle
        assert worker is not None
        assert worker.notebook is not None
        result = worker.notebook.result_of(number)
        if result is not None:
            self._end(worker.id, answer, {**described(entry), "result": result})
        elif self._arbiter.roster.with_pid(entry.pid) is not entry:
            self._end(worker.id, answer, OrderRefused("it has ended meanwhile: see 'cluster exits'"))
        elif time.monotonic() >= deadline:
            why = "it does not answer: it is in code that does not come back to Python; see 'cluster stacks'"
            self._end(worker.id, answer, OrderRefused(why))
        else:
            self._arbiter.loop.call_later(_PAUSE, self._collect, entry, number, deadline, answer)

    def _end(self, worker_id: int, answer: OrderAnswer, said: dict[str, Any] | OrderRefused) -> None:
        self._busy.discard(worker_id)
        answer(said)
