"""Arm a fault at a step of workers, for a block or until everything is undone, and note it."""

from __future__ import annotations

import contextlib
from collections.abc import Iterator

from ..errors import FaultError
from ..journal.entries import JournalEntry, worker_id
from ..options.checks import check_count
from ..options.cluster_options import ClusterOptions
from ..processes.worker import WorkerProxy
from ..server.server_process import ServerProcess
from ..wire.records import CONNECTION_STEP, Action, Failpoint, Hold
from .failpoints import Failpoints, check_step
from .gates import Gate
from .process_faults import ProcessFaults

__all__ = ["ArmedFaults", "WorkerOrId"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

WorkerOrId = WorkerProxy | int | None
"""A worker, or an id, also of one that is to come; ``None``: all, and those that come later."""


class ArmedFaults(ProcessFaults):
    """The base of the faults that happen at steps of workers."""

    def __init__(self, server: ServerProcess, options: ClusterOptions) -> None:
        super().__init__(server, options)
        self._failpoints = Failpoints(server)

    @contextlib.contextmanager
    def _gate(self, step: str, worker: WorkerProxy | int | None, parties: int | None) -> Iterator[Gate]:
        check_step(step, Hold())
        entry = self._note_workers(worker, f"hold of {step} in", harmless=True, lasts=step == CONNECTION_STEP)
        failpoint = self._failpoints.prepare(step, Hold(), worker_id(worker))
        gate = self._failpoints.add_gate(failpoint, parties)
        try:
            with self._undo_stack.after(lambda: self._disarm(failpoint, entry)):
                self._failpoints.arm(failpoint, worker)
                yield gate
        finally:
            self._failpoints.remove_gate(failpoint.id)

    def _arm(
        self,
        step: str,
        action: Action,
        worker: WorkerProxy | int | None,
        what: str,
        *,
        harmless: bool = False,
        only_later: bool = False,
    ) -> None:
        check_step(step, action)
        lasts = step == CONNECTION_STEP  # no worker has begun a request that is kept there
        entry = self._note_workers(worker, what, harmless=harmless, only_later=only_later, lasts=lasts)
        failpoint = self._failpoints.prepare(step, action, worker_id(worker))
        self._undo_stack.later(lambda: self._disarm(failpoint, entry))
        if not only_later:
            self._failpoints.arm(failpoint, worker)

    @contextlib.contextmanager
    def _armed(self, step: str, action: Action, worker: WorkerProxy | int | None, what: str) -> Iterator[None]:
        """Arm it for the time of a block."""
        entry = self._note_workers(worker, what, harmless=False)
        failpoint = self._failpoints.prepare(step, action, worker_id(worker))
        with self._undo_stack.after(lambda: self._disarm(failpoint, entry)):
            self._failpoints.arm(failpoint, worker)
            yield

    def _disarm(self, failpoint: Failpoint, entry: JournalEntry) -> None:
        self._failpoints.disarm(failpoint.id)
        self._note_end(entry)

    def _note_workers(
        self,
        worker: WorkerProxy | int | None,
        what: str,
        *,
        harmless: bool,
        only_later: bool = False,
        lasts: bool = False,
    ) -> JournalEntry:
        if not self._options.has_journal:
            raise FaultError(f"workers of {self._options.worker_class!r} are not under the test's control")
        if isinstance(worker, WorkerProxy):
            worker.check_alive()
        number = worker_id(worker)
        if number is not None:
            check_count("worker", number)
        who = f"worker {number}" if number is not None else "workers to come" if only_later else "every worker"
        pid = worker.pid if isinstance(worker, WorkerProxy) else None
        self._count()
        return self._server.journal.note_fault(
            number or 0, pid, f"{what} {who}", harmless=harmless, everywhere=number is None, lasts=lasts
        )
