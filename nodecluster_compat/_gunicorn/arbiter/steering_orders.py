"""Steer a running server when an operator asks: scale it, reload it, restart, drain or kill a worker.

Nothing here waits: what takes time is begun, and the status says how far it is.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Sequence
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import OrderRefused
from .finding_workers import described, one_worker

if TYPE_CHECKING:
    from ...lifecycle.rollout import ReloadReport
    from ...operations.orders import OrderAnswer, Orders
    from ...roles.worker_handle import WorkerEntry
    from .judging import Judge
    from .reloading import Reloader
    from .seat import Seat

__all__ = ["MOST_WORKERS", "SteeringOrders"]

MOST_WORKERS: Final = 1024


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which is steered."""

        judge: Judge
        reloader: Reloader

        @property
        def starts_no_more(self) -> bool:
            """Whether the server is about to end."""

        def scale(self, workers: int) -> None:
            """Have so many workers from now on."""

        def wakeup(self) -> None:
            """Let the main loop take another turn."""

        def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
            """Reload on the next turn."""


class SteeringOrders:
    """The orders that change something.

    Args:
        arbiter: whose workers they are.
        orders: where they are registered.
    """

    def __init__(self, arbiter: _Seat, orders: Orders) -> None:
        self._arbiter = arbiter
        orders.on("scale", "scale N|+N|-N", "Have so many workers, or so many more or fewer", self._scale)
        orders.on("reload", "reload", "Start new workers and drain the old, as HUP", self._reload)
        orders.on("restart", "restart [SLOT|all]", "Replace workers: the successor listens first", self._restart)
        orders.on("drain", "drain SLOT", "Let a worker finish what it has, then end", self._drain)
        orders.on("kill", "kill SLOT", "Kill a worker (SIGKILL)", self._kill)

    # --- the number of workers -----------------------------------------------------------------

    def _scale(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        self._check_supervised("nobody keeps a number of workers in script mode: the script forks")
        before = self._arbiter.num_workers
        target = _target(arguments, before)
        if target > before:
            self._arbiter.judge.retry_now()  # as TTIN: who asks for a worker wants it now
        self._arbiter.scale(target)
        answer({"target": target, "before": before})

    def _reload(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        self._check_supervised("there is no reload in script mode: a script forks new workers and disconnects the old")
        if arguments:
            raise OrderRefused(f"expected no argument, got {' '.join(arguments)!r}")
        report = self._arbiter.reloader.last_report
        self._arbiter.reload_soon(None)
        answer({"state": "reloading", "before": 0 if report is None else report.number})

    def _check_supervised(self, why_not: str) -> None:
        if not self._arbiter.is_supervised:
            raise OrderRefused(why_not)
        if self._arbiter.starts_no_more:
            raise OrderRefused("the server is ending")

    # --- one worker ----------------------------------------------------------------------------

    def _restart(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        self._check_supervised("nobody replaces a worker in script mode: the script forks")
        roster = self._arbiter.roster
        if roster.rollout is not None:
            raise OrderRefused("a reload is under way, which replaces every worker")
        everybody = not arguments or list(arguments) == ["all"]
        chosen = roster.with_handles if everybody else [one_worker(self._arbiter, arguments)]
        due = [entry for entry in chosen if _can_be_replaced(entry)]
        if not due:
            raise OrderRefused("it does not serve yet, or is being replaced already: see 'cluster workers'")
        for entry in due:
            self._fall_due(entry)
        self._arbiter.judge.retry_now()
        self._arbiter.wakeup()
        answer({"workers": [described(entry) for entry in due]})

    def _fall_due(self, entry: WorkerEntry) -> None:
        since = entry.listening_since
        entry.due_after = 0.0 if since is None else time.monotonic() - since
        entry.judged = True  # that it has served nothing is no fault of its
        entry.way_out.was_asked = True
        entry.way_out.fall_due("an operator asked for it")
        self._arbiter.log.info("Replacing worker (pid:%s): an operator asked for it", entry.pid)

    def _drain(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        entry = one_worker(self._arbiter, arguments)
        if entry.way_out.is_ending or entry.handle is None:
            raise OrderRefused(f"worker {_named(entry)} is on its way out already")
        entry.way_out.was_asked = entry.judged = True
        self._arbiter.log.info("Draining worker (pid:%s): an operator asked for it", entry.pid)
        entry.handle.disconnect()
        answer({"workers": [described(entry)]})

    def _kill(self, arguments: Sequence[str], answer: OrderAnswer) -> None:
        entry = one_worker(self._arbiter, arguments)
        assert entry.handle is not None
        self._arbiter.log.warning("Killing worker (pid:%s): an operator asked for it", entry.pid)
        entry.way_out.was_asked = True
        entry.handle.kill("SIGKILL")
        answer({"workers": [described(entry)]})


def _can_be_replaced(entry: WorkerEntry) -> bool:
    way_out = entry.way_out
    return entry.is_listening and not (way_out.is_ending or way_out.was_due or way_out.overran)


def _named(entry: WorkerEntry) -> str:
    return f"{entry.slot} (pid {entry.pid})"


def _target(arguments: Sequence[str], before: int) -> int:
    text = arguments[0] if len(arguments) == 1 else ""
    sign, digits = (text[:1], text[1:]) if text[:1] in ("+", "-") else ("", text)
    if not (digits.isascii() and digits.isdigit() and len(digits) <= 9):
        raise OrderRefused(f"expected a number of workers, +N or -N, got {' '.join(arguments)!r}")
    target = int(digits) if not sign else before + int(text)
    if not 1 <= target <= MOST_WORKERS:
        raise OrderRefused(f"expected 1 to {MOST_WORKERS} workers in the end, got {target}")
    return target
