"""Reap workers: from the wait status of a process to the ``exit`` event of its worker.

What happens, in this order, and why in this order:

1. ``waitpid`` says how a child ended.  It may be a new master (USR2), gunicorn's dirty arbiter, or a worker; what a
   hook or a handler has started is its own to wait for (``machine/children.py``).
2. gunicorn's log line, word for word; except that it guesses "Perhaps out of memory?" for a SIGKILL that was ours.
3. What the worker had said before it died is delivered (``Departures.hear_out``): it may have listened, or said that
   it leaves, just before.  Where its channel was still open, ``disconnect`` is told here.
4. It leaves the roster, so its place is vacant.
5. Its end is judged (``Judge.ended``): a fault or not, does it undo a reload, when may another be started.  Before any
   handler runs, so that a handler's ``fork()`` meets the roster and the back-off as they will be.  It is noted for the
   status (``ExitHistory.ended``), with what the worker has left in memory.
6. ``exit`` is told (``Departures.reaped``), to the worker's handlers and then to the cluster's.
7. The server ends if this was its very first boot (``Judge.halt_if_unbootable``).
8. gunicorn's ``child_exit`` hook runs.

Replaces gunicorn's ``Arbiter.reap_workers``, which gives the exit status to nobody: ``child_exit`` does not get it, and
peeking with ``waitid`` before calling it leaves a gap in which a worker dies unseen.  Hooks and exit codes are
gunicorn's.
"""

from __future__ import annotations

import os
import signal as signals
import time
from typing import TYPE_CHECKING, Protocol

from ...base.records import ExitStatus
from ...machine.children import LOST_STATUS, ended_among

if TYPE_CHECKING:
    from ...machine.children import ForgottenChildren
    from ...operations.metrics.ledger import Ledger
    from ...roles.worker_handle import WorkerEntry
    from ..gunicorn_types import GunicornWorker
    from .exit_history import ExitHistory
    from .health import Health
    from .judging import Judge
    from .seat import Seat
    from .upgrading import Upgrade
    from .worker_limits import WorkerLimits

__all__ = ["reap"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose children end.

        Attributes:
            WORKERS: gunicorn's worker objects, by pid.
            reexec_pid: the new master's, or 0.
            is_supervised: whether workers that end are replaced.
            exiting: the worker whose ``exit`` is being told.
            dirty_arbiter_pid, dirty_arbiter: gunicorn's, from 25 on.
            forgotten: the children that nobody waits for.
        """

        WORKERS: dict[int, GunicornWorker]
        reexec_pid: int
        is_supervised: bool
        exiting: WorkerEntry | None
        dirty_arbiter_pid: int
        dirty_arbiter: object
        forgotten: ForgottenChildren
        exits: ExitHistory
        health: Health
        ledger: Ledger
        limits: WorkerLimits
        judge: Judge
        upgrade: Upgrade


def reap(arbiter: _Seat) -> None:
    """Take note of every child that has ended.

    Raises:
        HaltServer: the very first boot failed (exit codes 3 and 4), as in gunicorn.
    """
    for pid, status, cpu_seconds in ended_among(
        [*arbiter.WORKERS, arbiter.reexec_pid, getattr(arbiter, "dirty_arbiter_pid", 0)]
    ):
        if status == LOST_STATUS and pid in arbiter.WORKERS:
            arbiter.log.warning("The exit status of pid %s is lost: somebody else has waited for it", pid)
        _reaped(arbiter, pid, status, cpu_seconds)
    for pid in arbiter.forgotten.turn(time.monotonic()):
        arbiter.log.debug("Reaped unknown child process (pid:%s)", pid)


def _reaped(arbiter: _Seat, pid: int, status: int, cpu_seconds: float) -> None:
    if pid == arbiter.reexec_pid:
        arbiter.reexec_pid = 0
        arbiter.upgrade.ended(exit_status(status))
    elif pid == getattr(arbiter, "dirty_arbiter_pid", 0):
        _dirty_arbiter_ended(arbiter, pid, status)
    else:
        worker = arbiter.WORKERS.pop(pid, None)
        if worker is None:
            return  # a handler of the one before has led here, too
        ended = exit_status(status)
        if arbiter.is_supervised:
            entry = arbiter.roster.with_pid(pid)
            _log_end(arbiter, pid, ended, is_ours=entry is not None and entry.way_out.was_killed)
        _tell_cluster(arbiter, pid, ended, cpu_seconds)
        worker.tmp.close()
        arbiter.cfg.child_exit(arbiter, worker)


def exit_status(status: int) -> ExitStatus:
    """Return what a wait status says."""
    code = os.waitstatus_to_exitcode(status)
    if code >= 0:
        return ExitStatus(code, None)
    try:
        return ExitStatus(None, signals.Signals(-code).name)
    except ValueError:
        return ExitStatus(None, f"SIG{-code}")  # a real-time signal without a name


def _tell_cluster(arbiter: _Seat, pid: int, status: ExitStatus, cpu_seconds: float) -> None:
    entry = arbiter.roster.with_pid(pid)
    if entry is None:
        return
    if entry.handle is not None:
        arbiter.primary.hear_out(entry.handle)
    arbiter.roster.remove(pid)
    arbiter.limits.gone(pid)
    arbiter.exits.ended(entry, status)
    if not arbiter.is_supervised:
        arbiter.judge.noted(entry, status)
    elif not arbiter.is_stopping:
        arbiter.judge.ended(entry, status)
    if entry.handle is not None:
        arbiter.health.gone(entry.handle)
        arbiter.ledger.gone(entry.handle.id, cpu_seconds)
        arbiter.exiting = entry
        arbiter.primary.reaped(entry.handle, status)
        arbiter.exiting = None
    if arbiter.is_supervised:
        arbiter.judge.halt_if_unbootable(entry, status)


def _log_end(arbiter: _Seat, pid: int, ended: ExitStatus, *, is_ours: bool) -> None:
    if ended.signal is None:
        if ended.code:
            arbiter.log.error("Worker (pid:%s) exited with code %s.", pid, ended.code)
    elif ended.signal == "SIGKILL" and is_ours:
        arbiter.log.error("Worker (pid:%s) was sent SIGKILL by its primary.", pid)
    elif ended.signal == "SIGKILL":
        arbiter.log.error("Worker (pid:%s) was sent SIGKILL! Perhaps out of memory?", pid)
    elif ended.signal == "SIGTERM":
        arbiter.log.info("Worker (pid:%s) was sent SIGTERM!", pid)
    else:
        arbiter.log.warning("Worker (pid:%s) was sent %s!", pid, ended.signal)


def _dirty_arbiter_ended(arbiter: _Seat, pid: int, status: int) -> None:
    if hasattr(arbiter, "handle_dirty_arbiter_exit"):  # gunicorn 26.2 and later
        arbiter.handle_dirty_arbiter_exit(pid, status)
    else:
        arbiter.dirty_arbiter_pid = 0
        arbiter.dirty_arbiter = None
