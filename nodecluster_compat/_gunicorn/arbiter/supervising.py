"""What the arbiter does about workers that fail: facts, time and chance for the arithmetic of ``restarts``.

Replaces gunicorn's rules for a worker that ends: fork another at once, and end the server when its exit code is 3 or
4.  Those codes end the server while it has never served; a new master of USR2 ends on any failed boot, so that
the old one serves on; during a reload they undo the reload; afterwards they are faults like others.

gunicorn limits a worker that runs (``timeout``) and not one that boots: its heartbeat begins with serving.  So there
is a limit of its own for that, ``boot_timeout``.
"""

from __future__ import annotations

import os
import random
import signal as signals
import time
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gunicorn.errors import HaltServer

from ...lifecycle.restarts import Restarts
from ...machine.sources import Fingerprint, fingerprint, sources_of
from ...roles.cluster import cluster
from ...roles.settings import SupervisionSettings
from ...roles.status import ClusterState, ClusterStatus, WorkerStatus, write_status

if TYPE_CHECKING:
    from collections.abc import Mapping

    from ...base.records import ExitStatus
    from ...lifecycle.crew import Mate
    from ...roles.worker_handle import WorkerHandle
    from .cluster_arbiter import ClusterArbiter

__all__ = ["Supervisor", "settings_in_force"]

_LOOK_SECONDS: Final = 0.25
_FIRST_RETRY_PAUSE: Final = 0.5
_LONGEST_RETRY_PAUSE: Final = 30.0
_ABORT_SECONDS: Final = 1.0
_LAG_DIGITS: Final = 1


class _InForce:
    read_from: Mapping[str, Any] | None = None
    settings: SupervisionSettings


def settings_in_force() -> SupervisionSettings:
    """Return what ``cluster.settings`` say, read once: each ``setup_primary()`` makes another mapping."""
    if _InForce.read_from is not cluster.settings:
        _InForce.settings = SupervisionSettings.of(cluster.settings)
        _InForce.read_from = cluster.settings
    return _InForce.settings


class Supervisor:
    """Judges how workers end, and says when another may be started."""

    def __init__(self, arbiter: ClusterArbiter) -> None:
        self._arbiter = arbiter
        self.settings = settings_in_force()
        self._restarts = Restarts(self.settings.restarts, random.random)
        self._last_fault: str | None = None
        self._seen: Fingerprint | None = None  # the sources, as the last workers found them
        self._changed: Fingerprint | None = None  # as the last look found them, when that differs
        self._retry_pause = _FIRST_RETRY_PAUSE
        self._no_retry_before = 0.0
        self._written: ClusterStatus | None = None

    def configure(self) -> None:
        """Take the settings that are in force now."""
        settings = settings_in_force()
        if settings is not self.settings:
            self.settings = settings
            self._restarts.policy = self.settings.restarts

    # --- the end of a worker -------------------------------------------------------------------

    def ended(self, mate: Mate, status: ExitStatus) -> None:
        """Judge the end of a worker, before it is told."""
        if mate.told_to_end or (mate.is_ending and mate.listening_since is not None):
            return
        arbiter, crew, now = self._arbiter, self._arbiter.crew, time.monotonic()
        how = self._describe(mate, status)
        if crew.rollout is not None and mate.generation == crew.generation and mate.listening_since is None:
            serves_on = crew.has_old_listeners()
            arbiter.reloader.fail(f"a worker of the new generation {how}")
            if serves_on:
                return
        if status.signal == "SIGKILL" and mate.overdue is None:
            if mate.listening_since is None:
                self._last_fault = how
            if self._restarts.killed(now, mate.listening_since is not None):
                self._tell_degraded(now)
            return
        self._last_fault = how
        if self._seen is None:
            self._watch()
        if self._restarts.fault(now, 0.0 if mate.listening_since is None else now - mate.listening_since):
            self._tell_degraded(now)

    def halt_if_unbootable(self, mate: Mate | None, status: ExitStatus) -> None:
        """End the server when its very first boot fails.

        Raises:
            HaltServer: with gunicorn's exit code.
        """
        arbiter = self._arbiter
        if arbiter.is_stopping or mate is None or mate.told_to_end or mate.listening_since is not None:
            return
        codes = {arbiter.WORKER_BOOT_ERROR: "Worker failed to boot.", arbiter.APP_LOAD_ERROR: "App failed to load."}
        if arbiter.upgrade.is_candidate:
            code = status.code if status.code in codes else arbiter.WORKER_BOOT_ERROR
            raise HaltServer(codes[code], code)
        if status.code in codes and not arbiter.crew.has_listened and arbiter.reloader.last_report is None:
            raise HaltServer(codes[status.code], status.code)

    def _describe(self, mate: Mate, status: ExitStatus) -> str:
        if mate.overdue is not None:
            return mate.overdue
        when = "while booting" if mate.listening_since is None else "after it had listened"
        how = f"exited with code {status.code}" if status.signal is None else f"was ended by {status.signal}"
        return f"{how} {when}"

    # --- what may be started -------------------------------------------------------------------

    def allowed(self) -> int:
        """How many workers may be started now."""
        count = self._restarts.allowed(time.monotonic(), self._arbiter.crew.trials)
        if count and self._restarts.is_backing_off:
            self._seen = self._look_at_sources()
        return count

    def retry_now(self) -> None:
        """Somebody asks for workers now: a reload, TTIN."""
        self._restarts.retry_now()

    def look(self) -> None:
        """Once a turn of the main loop: limits, recovery, status."""
        now = time.monotonic()
        self._end_overdue(now)
        self._end_overstaying()
        if self._restarts.look(now, self._arbiter.crew.trials):
            self._arbiter.log.info("Workers run again: %s listen", len(self._arbiter.crew.listening))
            self._arbiter.loop.call_soon(cluster.emit, "recovered", self.status())
        self._write_status()

    def _end_overdue(self, now: float) -> None:
        limit = self.settings.boot_timeout
        for mate in self._arbiter.crew.booting if limit else ():
            if now - mate.started > limit and mate.overdue is None:
                mate.overdue = f"did not listen within boot_timeout ({limit:g} s)"
                self._arbiter.log.critical("WORKER BOOT TIMEOUT (pid:%s): not listening after %g s", mate.pid, limit)
                self._arbiter.kill_worker(mate.pid, signals.SIGABRT)
                self._arbiter.loop.call_later(_ABORT_SECONDS, self._kill, mate)

    def _end_overstaying(self) -> None:
        arbiter = self._arbiter
        for mate in arbiter.crew.overstaying(arbiter.num_workers):
            arbiter.log.error(
                "Worker (pid:%s) said that it leaves and did not end, like too many others: killed", mate.pid
            )
            mate.told_to_end = True
            arbiter.kill_worker(mate.pid, signals.SIGKILL)

    def _kill(self, mate: Mate) -> None:
        if self._arbiter.crew.with_pid(mate.pid) is mate:
            self._arbiter.kill_worker(mate.pid, signals.SIGKILL)

    # --- the sources ---------------------------------------------------------------------------

    def _look_at_sources(self) -> Fingerprint:
        arbiter = self._arbiter
        uri = getattr(arbiter.app, "app_uri", None) or ""
        config = [] if arbiter.cfg.config is None else [str(arbiter.cfg.config).removeprefix("file:")]
        more = [*config, *arbiter.cfg.reload_extra_files, *self.settings.watch]
        return fingerprint(sources_of(uri, arbiter.cfg.chdir, more))

    def _watch(self) -> None:
        self._seen = self._look_at_sources()
        self._changed = None
        self._arbiter.loop.call_later(_LOOK_SECONDS, self._watch_on)

    def _watch_on(self) -> None:
        if not self._restarts.is_backing_off:
            self._seen, self._retry_pause = None, _FIRST_RETRY_PAUSE
            return
        self._arbiter.loop.call_later(_LOOK_SECONDS, self._watch_on)
        found = self._look_at_sources()
        settled, self._changed = found == self._changed, found
        if found != self._seen and settled:
            self._sources_changed(found)

    def _sources_changed(self, found: Fingerprint) -> None:
        """Try at once, and less and less willingly: workers that write their own sources must not drive this."""
        now = time.monotonic()
        if now < self._no_retry_before:
            return
        self._no_retry_before = now + self._retry_pause
        self._retry_pause = min(self._retry_pause * 2, _LONGEST_RETRY_PAUSE)
        self._seen = found
        self._arbiter.log.info("The application's files have changed: starting workers at once")
        # The watch goes on: what is tried now may fail again.
        self._restarts.retry_now()
        self._arbiter.wakeup()

    # --- status --------------------------------------------------------------------------------

    @property
    def is_degraded(self) -> bool:
        """Whether workers keep failing."""
        return self._restarts.is_degraded

    def status(self) -> ClusterStatus:
        """How the cluster is now."""
        arbiter, crew = self._arbiter, self._arbiter.crew
        return ClusterStatus(
            pid=arbiter.pid,
            state=self._state(),
            target=arbiter.num_workers,
            listening=len(crew.listening),
            booting=len(crew.booting),
            ending=crew.ending,
            generation=crew.generation,
            workers=tuple(_status_of(worker) for worker in arbiter.primary.registry.by_id.values()),
            queue=arbiter.pressure.status,
            faults=self._restarts.recent_faults(time.monotonic()),
            last_fault=self._last_fault,
            reload=arbiter.reloader.last_report,
            upgrade=arbiter.upgrade.state,
        )

    def _state(self) -> ClusterState:
        if self._arbiter.is_stopping:
            return "stopping"
        if self.is_degraded:
            return "degraded"
        if self._arbiter.crew.rollout is not None:
            return "reloading"
        return "running" if self._arbiter.crew.has_listened else "starting"

    def _tell_degraded(self, now: float) -> None:
        self._arbiter.log.error(
            "Workers keep failing: %s faults, the last one %s. Next attempt in %.1f s; a changed source file or HUP "
            "tries at once.",
            self._restarts.unhealed_faults(now),
            self._last_fault,
            max(0.0, self._restarts.hold_until - now),
        )
        self._arbiter.loop.call_soon(cluster.emit, "degraded", self.status())

    def close(self) -> None:
        """The server has ended: it has no status any more."""
        if self.settings.status_file is not None and self._arbiter.upgrade.is_in_charge:
            with suppress(OSError):
                os.unlink(self.settings.status_file)

    def _write_status(self) -> None:
        path = self.settings.status_file
        if path is None or not self._arbiter.upgrade.is_in_charge:
            return
        status = self.status()
        if status != self._written:
            self._written = status
            with suppress(OSError):  # a full disk is no reason to stop serving; the file keeps its age
                write_status(status, path)


def _status_of(worker: WorkerHandle) -> WorkerStatus:
    lag = round(worker.lag, _LAG_DIGITS)  # not finer, or the file would be written all the time
    return WorkerStatus(worker.id, worker.process.pid, worker.state, worker.health, lag)
