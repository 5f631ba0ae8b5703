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
        signs: in words, what else may be why: loops that stood still lately, faults that the test has injected.
    """

    primary_pid: int
    holders: str
    signs: str

    def __str__(self) -> str:
        return self.holders or "; ".join(filter(None, ["no worker has begun it", self.signs]))


def find_holders(server: ServerProcess, workers: Iterable[WorkerProxy]) -> Unanswered:
    """Look at the processes of a cluster: who is stopped, which of the living *workers* has requests or is late.

    Many threads may ask at once, so nobody is asked for stacks here.
    """
    lags, kept = _ask_primary(server)
    faults = [entry for entry in lasting(server.journal.entries) if entry.injected]
    holders: list[str] = []
    signs: list[str] = []
    primary = _told(f"the primary (pid {server.pid})", kept, _fault_of(0, faults))
    (holders if kept else signs).append(primary)
    for worker in workers:
        states = _states(worker, lags.get(worker.id, 0.0))
        told = _told(f"{worker.title} (pid {worker.pid})", states, _fault_of(worker.id, faults))
        holds = worker.tally.in_flight or is_stopped(worker.pid)
        (holders if holds else signs).append(told)
    return Unanswered(server.pid, "; ".join(filter(None, holders)), "; ".join(filter(None, signs)))


def _ask_primary(server: ServerProcess) -> tuple[dict[int, float], list[str]]:
    """By how much the loop of each worker was late lately; and what keeps the primary, if anything does."""
    if is_stopped(server.pid):
        return {}, ["is stopped"]
    try:
        status = value_of(server.control.call(server.pid, "status", timeout=ASK_SECONDS), "the primary")
    except WaitTimeout:
        return {}, ["does not answer"]
    except ClusterError:  # it has ended
        return {}, []
    return {one["id"]: one["lag"] for one in status.get("workers", ())}, []


def _states(worker: WorkerProxy, lag: float) -> list[str]:
    count, states = worker.tally.in_flight, []
    if count:
        states.append(f"has {count} request{'s' if count > 1 else ''} in flight")
    if is_stopped(worker.pid):
        states.append("is stopped")
    elif lag >= LATE_SECONDS:
        states.append(f"stood still for {lag:.1f} s")
    return states


def _fault_of(worker: int, faults: list[JournalEntry]) -> JournalEntry | None:
    """The newest fault of a worker (0: of the primary)."""
    return next((one for one in reversed(faults) if one.concerns(worker)), None)


def _told(who: str, states: list[str], fault: JournalEntry | None) -> str:
    """Who, in what state, and why; a process without one is told of for a fault that can hold requests."""
    why = f"injected: {fault.detail}" if fault and (states or not fault.harmless) else ""
    if not states:
        return why
    return f"{who} {' and '.join(states)}" + (f" ({why})" if why else "")
