"""Answer what the primary asks of its host (:class:`~nodecluster_compat.roles.host.Host`), in server mode.

A part of the arbiter in a file of its own: starting a process and ending the server is the arbiter's to do.
"""

from __future__ import annotations

import errno
import signal as signals
import time
from collections import deque
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from .copy_on_write import is_of_ours
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from queue import SimpleQueue

    from ...base.loop import Loop
    from ...base.records import ServedAddress
    from ...lifecycle.rollout import ReloadReport
    from ...roles.primary import Primary
    from ...roles.status import ClusterStatus
    from ...roles.worker_handle import WorkerEntry, WorkerHandle, WorkerRoster
    from ..gunicorn_types import GunicornWorker, Settings
    from .judging import Judge
    from .reloading import Reloader
    from .status_board import StatusBoard
    from .upgrading import Upgrade
    from .worker_limits import WorkerLimits

__all__ = ["Hosting"]


class Hosting:
    """The arbiter as the host of its primary; what it is besides comes from the class that this is mixed into."""

    is_supervised = True
    """Whether workers that end are replaced here; false where a script alone forks."""

    cfg: Settings
    SIG_QUEUE: SimpleQueue[int]
    num_workers: int
    worker_class: Any
    wakeup: Callable[[], None]
    WORKERS: dict[int, GunicornWorker]

    loop: Loop
    primary: Primary
    roster: WorkerRoster
    served: list[ServedAddress]
    exiting: WorkerEntry | None
    is_stopping: bool
    limits: WorkerLimits
    judge: Judge
    reloader: Reloader
    board: StatusBoard
    upgrade: Upgrade

    _requested: deque[WorkerHandle]
    _is_finishing: bool

    @property
    def starts_no_more(self) -> bool:
        """Whether the server is about to end, so that no worker is started any more."""
        return self.is_stopping or self._is_finishing or self.primary.is_disconnecting

    @property
    def has_channels(self) -> bool:
        """Whether the workers that are started now are of ours; a reload may have changed their class."""
        return is_of_ours(self.worker_class)

    # --- cluster.fork() ------------------------------------------------------------------------

    def spawn_soon(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        reason = self._why_not()
        if reason is None:
            self._requested.append(worker)
            self.wakeup()
        else:
            self.primary.failed_to_start(worker, OSError(errno.ECANCELED, reason))

    def _why_not(self) -> str | None:
        """Return why ``cluster.fork()`` cannot have a worker now, ``None`` when it can."""
        if self.starts_no_more:
            return "the server is ending"
        if not self.has_channels:
            return f"the workers are now of {self.worker_class.__name__}, which has no channel"
        if self.exiting is not None and self.exiting.way_out.was_told and not self.roster.missing(self.num_workers):
            return "the worker that exits was retired and leaves no place"
        return None

    def give_up_requested(self, reason: str) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        while self._requested:
            self.primary.failed_to_start(self._requested.popleft(), OSError(errno.ECANCELED, reason))

    def make_room_for_requested(self) -> None:
        """``cluster.fork()`` beyond the vacancies raises the number; a pause of the back-off holds for it, too."""
        extra = len(self._requested) - self.roster.missing(self.num_workers)
        if extra > 0:
            self.num_workers += extra

    def next_requested(self) -> WorkerHandle:
        """Return the worker to fork next: one that ``cluster.fork()`` made, or a new one."""
        return self._requested.popleft() if self._requested else self.primary.new_worker()

    def stand_in(self) -> WorkerHandle | None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return self.roster.stand_in(self.exiting) if self.exiting is not None else None

    def place(self, worker: WorkerHandle) -> None:
        """Give a worker that is about to be forked its slot, and what is to be known of its birth."""
        worker.slot, worker.generation = self.roster.next_slot(), self.roster.told_generation
        worker.started_at = time.time()

    # --- what is so ----------------------------------------------------------------------------

    def is_dealing(self) -> bool:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return bool(self.served)

    def is_binding(self) -> bool:
        """See :class:`~nodecluster_compat.roles.host.Host`: gunicorn's ``bind`` says it all."""
        return not self.is_supervised

    def check_settings(self, names: Iterable[str]) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`: here all of them have an effect."""

    def message_limit(self) -> int:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return settings_in_force().max_message_bytes

    def status(self) -> ClusterStatus:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return self.board.status()

    def is_degraded(self) -> bool:
        """Whether workers keep failing."""
        return self.judge.is_degraded

    # --- what has happened ---------------------------------------------------------------------

    def worker_listens(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.roster.listens(worker, time.monotonic())
        self._has_booted(worker)
        self.wakeup()

    def _has_booted(self, worker: WorkerHandle) -> None:
        """Set what gunicorn's control interface shows; gunicorn itself sets it in the worker's process only."""
        gunicorn_worker = self.WORKERS.get(worker.process.pid or 0)
        if gunicorn_worker is not None:
            gunicorn_worker.booted = True

    def worker_changed(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.wakeup()

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        """See ``Host``: as long as one that a signal ends, unless told otherwise."""
        entry = self.roster.with_pid(worker.process.pid) if worker.process.pid is not None else None
        if entry is None:
            return
        if timeout is None:
            self.limits.limit_end(entry, self.cfg.graceful_timeout, "graceful_timeout")
        else:
            self.limits.limit_end(entry, timeout, f"{timeout:g} s")

    # --- what is asked for ---------------------------------------------------------------------

    def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.reloader.ask(callback)
        self.SIG_QUEUE.put_nowait(signals.SIGHUP)
        self.loop.wake()

    def scale(self, workers: int) -> None:
        """Have so many workers from now on."""
        self.num_workers = workers
        self.wakeup()

    def finish(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.upgrade.forget()
        self._is_finishing = True  # nobody is started any more, although the signal is still to be handled
        self.SIG_QUEUE.put_nowait(signals.SIGTERM)
        self.loop.wake()
