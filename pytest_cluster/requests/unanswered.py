"""Who has a request that got no answer: what kept each process when the time was over."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass

from ..errors import ClusterError, Unanswered, WaitTimeout
from ..processes.worker import WorkerProxy
from ..server.launcher import ServerProcess
from ..server.leaks import is_stopped
from ..story.entries import JournalEntry, lasting
from ..waiting import scaled
from ..wire.remote import value_of

__all__ = ["find_holders"]

LATE_SECONDS = 0.5
"""A loop that was late by so much lately may be why."""

ASK_SECONDS = 1.0


def find_holders(server: ServerProcess, workers: Iterable[WorkerProxy]) -> Unanswered:
    """Look at the processes of a cluster: who is stopped, which of the living *workers* has requests or is late.

    Many threads may ask at once, so nobody is asked for stacks here.
    """
    faults = [entry for entry in lasting(server.journal.entries) if entry.injected]
    primary, lags = _look_at_primary(server)
    looks = [(primary, _fault_of(0, faults))]
    looks += [(_look_at(worker, lags.get(worker.id, 0.0)), _fault_of(worker.id, faults)) for worker in workers]
    holders = [_told(look, fault) for look, fault in looks if look.holds]
    signs = [_told(look, fault) for look, fault in looks if not look.holds]
    return Unanswered(server.pid, "; ".join(filter(None, holders)), "; ".join(filter(None, signs)))


@dataclass(frozen=True, slots=True)
class _Look:
    """A process as it was found: what keeps it, in words, and whether that is sure to keep requests."""

    who: str
    states: tuple[str, ...] = ()
    holds: bool = False


def _look_at_primary(server: ServerProcess) -> tuple[_Look, dict[int, float]]:
    """The primary, and by how much it has seen the loop of each worker late lately."""
    who = f"the primary (pid {server.pid})"
    if is_stopped(server.pid):
        return _Look(who, ("is stopped",), holds=True), {}
    try:
        status = value_of(server.control.call(server.pid, "status", timeout=scaled(ASK_SECONDS)), who)
    except WaitTimeout:
        return _Look(who, ("does not answer",)), {}
    except ClusterError:  # it has ended
        return _Look(who), {}
    return _Look(who), {one["id"]: one["lag"] for one in status.get("workers", ())}


def _look_at(worker: WorkerProxy, lag: float) -> _Look:
    pid, count = worker.pid, worker.tally.in_flight
    stopped = is_stopped(pid)
    states = [f"has {count} request{'s' if count > 1 else ''} in flight"] if count else []
    if stopped:
        states.append("is stopped")
    elif lag >= LATE_SECONDS:
        states.append(f"stood still for {lag:.1f} s")
    return _Look(f"{worker.title} (pid {pid})", tuple(states), holds=bool(count) or stopped)


def _fault_of(worker: int, faults: list[JournalEntry]) -> JournalEntry | None:
    """The newest fault of a worker (0: of the primary)."""
    return next((one for one in reversed(faults) if one.concerns(worker)), None)


def _told(look: _Look, fault: JournalEntry | None) -> str:
    """Who, in what state, and why; of a process without one, the fault that lasts in it."""
    why = f"injected: {fault.detail}" if fault and (look.states or fault.lasts) else ""
    if not look.states:
        return why
    return f"{look.who} {' and '.join(look.states)}" + (f" ({why})" if why else "")
