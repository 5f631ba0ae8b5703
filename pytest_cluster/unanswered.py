"""Who has a request that got no answer: what kept each process when the time was over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from .entries import JournalEntry, lasting
from .errors import ClusterError, WaitTimeout
from .launcher import ServerProcess
from .leaks import is_stopped
from .remote import value_of
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
        holders: in words, who had requests or was stopped; empty when nobody was.
        late: in words, whose loop stood still lately; empty when there are holders, who are the nearer reason.
    """

    primary_pid: int
    holders: str
    late: str

    def __str__(self) -> str:
        return self.holders or self.late or "no worker has begun it"


def find_holders(server: ServerProcess, workers: Iterable[WorkerProxy]) -> Unanswered:
    """Look at the processes of a cluster: who is stopped, which of the living *workers* has requests or is late.

    Many threads may ask at once, so nobody is asked for stacks here.
    """
    lags, primary = _ask_primary(server)
    entries = server.journal.entries
    holders: list[str] = [primary]
    late: list[str] = []
    for worker in workers:
        told = _with_fault(_told(worker, lags.get(worker.id, 0.0)), worker, entries)
        holds = worker.tally.in_flight or is_stopped(worker.pid)
        (holders if holds else late).append(told)
    held = "; ".join(filter(None, holders))
    return Unanswered(server.pid, held, "" if held else "; ".join(filter(None, late)))


def _ask_primary(server: ServerProcess) -> tuple[dict[int, float], str]:
    """By how much the loop of each worker was late lately; and what keeps the primary, if anything does."""
    if is_stopped(server.pid):
        return {}, f"the primary (pid {server.pid}) is stopped"
    try:
        status = value_of(server.control.call(server.pid, "status", timeout=ASK_SECONDS), "the primary")
    except WaitTimeout:
        return {}, f"the primary (pid {server.pid}) does not answer"
    except ClusterError:  # it has ended
        return {}, ""
    return {one["id"]: one["lag"] for one in status.get("workers", ())}, ""


def _told(worker: WorkerProxy, lag: float) -> str:
    count, states = worker.tally.in_flight, []
    if count:
        states.append(f"has {count} request{'s' if count > 1 else ''} in flight")
    if is_stopped(worker.pid):
        states.append("is stopped")
    elif lag >= LATE_SECONDS:
        states.append(f"stood still for {lag:.1f} s")
    return f"{worker.title} (pid {worker.pid}) {' and '.join(states)}" if states else ""


def _with_fault(told: str, worker: WorkerProxy, entries: tuple[JournalEntry, ...]) -> str:
    fault = next((one for one in reversed(lasting(entries)) if one.injected and one.concerns(worker.id)), None)
    return f"{told} (injected: {fault.detail})" if told and fault else told
