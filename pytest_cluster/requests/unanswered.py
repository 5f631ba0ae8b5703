"""Find the process that keeps a request without an answer: stopped, busy, late, or faulty."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ClusterError, Unanswered, WaitTimeout
from ..journal.entries import JournalEntry, lasting
from ..processes.worker import WorkerProxy
from ..server.leaks import is_stopped
from ..server.server_process import ServerProcess
from ..waiting import scaled
from ..wire.remote import value_of

__all__ = ["find_holders"]

LATE_SECONDS = 0.5
"""A loop that was late by so much lately may be why."""

ASK_SECONDS = 1.0


def find_holders(server: ServerProcess, workers: Iterable[WorkerProxy]) -> Unanswered:
    """Observe the processes of a cluster: who is stopped, which of the living *workers* has requests or is late.

    Many threads may ask at once, so nobody is asked for stacks here.
    """
    faults = [entry for entry in lasting(server.journal.entries) if entry.injected]
    primary, lags = _observe_primary(server)
    observed = [(primary, _fault_of(0, faults))]
    observed += [(_observe(worker, lags.get(worker.id, 0.0)), _fault_of(worker.id, faults)) for worker in workers]
    holders = [_describe(one, fault) for one, fault in observed if one.holds]
    signs = [_describe(one, fault) for one, fault in observed if not one.holds]
    return Unanswered(server.pid, "; ".join(filter(None, holders)), "; ".join(dict.fromkeys(filter(None, signs))))


@dataclass(frozen=True, slots=True)
class _Observed:
    """A process as it was found: its states, in words, and whether they are sure to hold requests."""

    who: str
    states: tuple[str, ...] = ()
    holds: bool = False


def _observe_primary(server: ServerProcess) -> tuple[_Observed, dict[int, float]]:
    """Observe the primary; return also by how much it has seen the loop of each worker late lately."""
    who = f"the primary (pid {server.pid})"
    if is_stopped(server.pid):
        return _Observed(who, ("is stopped",), holds=True), {}
    try:
        status = value_of(server.control.call(server.pid, "status", timeout=scaled(ASK_SECONDS)), who)
    except WaitTimeout:
        return _Observed(who, ("does not answer",)), {}
    except ClusterError:  # it has ended
        return _Observed(who), {}
    return _Observed(who), {one["id"]: one["lag"] for one in status.get("workers", ())}


def _observe(worker: WorkerProxy, lag: float) -> _Observed:
    pid, count = worker.pid, worker.requests_in_flight
    stopped = is_stopped(pid)
    states = [f"has {count} request{'s' if count > 1 else ''} in flight"] if count else []
    if stopped:
        states.append("is stopped")
    elif lag >= LATE_SECONDS:
        states.append(f"stood still for {lag:.1f} s")
    return _Observed(f"{worker.title} (pid {pid})", tuple(states), holds=bool(count) or stopped)


def _fault_of(worker: int, faults: list[JournalEntry]) -> JournalEntry | None:
    """Return the newest fault of a worker (0: of the primary)."""
    return next((one for one in reversed(faults) if one.concerns(worker)), None)


def _describe(one: _Observed, fault: JournalEntry | None) -> str:
    """Name a process, its states and the fault behind them; without a state, the fault that lasts in it."""
    why = f"injected: {fault.detail}" if fault and (one.states or fault.lasts) else ""
    if not one.states:
        return why
    return f"{one.who} {' and '.join(one.states)}" + (f" ({why})" if why else "")
