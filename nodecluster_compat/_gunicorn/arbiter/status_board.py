"""Draw up the status of the cluster, and keep the status file."""

from __future__ import annotations

import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from ...operations.status_file import write_status
from ...roles.status import ClusterState, ClusterStatus, WorkerStatus
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...machine.background import Background
    from ...roles.worker_handle import WorkerEntry, WorkerHandle
    from .judging import Judge
    from .pressure import Pressure
    from .reloading import Reloader
    from .seat import Seat
    from .upgrading import Upgrade

__all__ = ["StatusBoard"]

_LAG_DIGITS: Final = 1
_FILE: Final = "status file"


class StatusBoard:
    """Says how the cluster of one arbiter is."""

    def __init__(
        self,
        arbiter: Seat,
        judge: Judge,
        reloader: Reloader,
        upgrade: Upgrade,
        pressure: Pressure,
        background: Background,
    ) -> None:
        self._arbiter = arbiter
        self._background = background
        self._judge = judge
        self._reloader = reloader
        self._upgrade = upgrade
        self._pressure = pressure
        self._written: ClusterStatus | None = None

    def status(self) -> ClusterStatus:
        """How the cluster is now."""
        arbiter, roster = self._arbiter, self._arbiter.roster
        return ClusterStatus(
            pid=arbiter.pid,
            state=self._state(),
            target=self._target(),
            listening=len(roster.listening),
            booting=self._booting(),
            ending=roster.ending,
            generation=roster.generation,
            workers=tuple(_status_of(worker) for worker in arbiter.primary.registry.by_id.values()),
            queue=self._pressure.status,
            faults=self._judge.faults,
            last_fault=self._judge.last_fault,
            reload=self._reloader.last_report,
            upgrade=self._upgrade.state,
        )

    def _target(self) -> int:
        return self._arbiter.num_workers if self._arbiter.is_supervised else len(self._arbiter.roster.staying)

    def _booting(self) -> int:
        booting = self._arbiter.roster.booting
        if self._arbiter.is_supervised:
            return len(booting)
        return sum(1 for entry in booting if not _is_online(entry))  # a script's worker need not listen

    def _state(self) -> ClusterState:
        if self._arbiter.is_stopping:
            return "stopping"
        if self._judge.is_degraded:
            return "degraded"
        if self._arbiter.roster.rollout is not None:
            return "reloading"
        roster = self._arbiter.roster
        if roster.has_listened or (not self._arbiter.is_supervised and any(map(_is_online, roster.staying))):
            return "running"
        return "starting"

    def turn(self) -> None:
        """Once a turn of the main loop: have the status file written when something has changed."""
        path = settings_in_force().status_file
        if path is None or not self._upgrade.is_in_charge:
            return
        status = self.status()
        if status != self._written:
            self._written = status
            self._background.do(_FILE, partial(_write, status, os.path.abspath(path)))

    def close(self) -> None:
        """The server has ended: it has no status any more, whatever was about to be written."""
        path = settings_in_force().status_file
        if path is not None and self._upgrade.is_in_charge:
            self._background.do(_FILE, partial(_remove, os.path.abspath(path)))


def _write(status: ClusterStatus, path: str) -> None:
    with suppress(OSError):  # a full disk is no reason to stop serving; the file keeps its age
        write_status(status, path)


def _remove(path: str) -> None:
    with suppress(OSError):
        os.unlink(path)


def _is_online(entry: WorkerEntry) -> bool:
    return entry.handle is not None and entry.handle.state != "none"


def _status_of(worker: WorkerHandle) -> WorkerStatus:
    lag = round(worker.lag, _LAG_DIGITS)  # not finer, or the file would be written all the time
    return WorkerStatus(worker.id, worker.process.pid, worker.state, worker.health, lag)
