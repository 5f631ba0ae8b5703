"""Who has a request that got no answer: what kept each worker when the time was over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .entries import JournalEntry, lasting
from .errors import ClusterError
from .leaks import is_stopped
from .primary import PrimaryProxy
from .worker import WorkerProxy

__all__ = ["Unanswered", "find_holders"]

LATE_SECONDS = 0.5
"""A loop that was late by so much lately may be why."""

ASK_SECONDS = 1.0


@dataclass(frozen=True, slots=True)
class Unanswered:
    """Who may have a request that a cluster has not answered.

    Attributes:
        primary_pid: of the cluster.
        holders: the workers that something kept, and what, in words; empty when there was none.
    """

    primary_pid: int
    holders: str

    def __str__(self) -> str:
        return self.holders or "no worker has it"


def find_holders(
    primary: PrimaryProxy, workers: Iterable[WorkerProxy], entries: tuple[JournalEntry, ...]
) -> Unanswered:
    """Look at the living *workers*: who is stopped, who has requests in flight, whose loop stood still."""
    lags = _lags(primary)
    told = [_told(worker, lags.get(worker.id, 0.0), entries) for worker in workers]
    return Unanswered(primary.pid, "; ".join(filter(None, told)))


def _told(worker: WorkerProxy, lag: float, entries: tuple[JournalEntry, ...]) -> str:
    count = worker.tally.in_flight
    states = []
    if count:
        states.append(f"has {count} request{'s' if count > 1 else ''} in flight")
    if is_stopped(worker.pid):
        states.append("is stopped")
    elif lag >= LATE_SECONDS:
        states.append(f"stood still for {lag:.1f} s")
    if not states:
        return ""
    fault = next((one for one in reversed(lasting(entries)) if one.injected and one.concerns(worker.id)), None)
    why = f" (injected: {fault.detail})" if fault else ""
    return f"{worker.title} (pid {worker.pid}) {' and '.join(states)}{why}"


def _lags(primary: PrimaryProxy) -> dict[int, float]:
    """By how much the loop of each worker was late lately, as far as the primary can tell."""
    try:
        status = primary.ask("status", timeout=ASK_SECONDS)
    except ClusterError:
        return {}
    return {one["id"]: one["lag"] for one in status.get("workers", ())}
