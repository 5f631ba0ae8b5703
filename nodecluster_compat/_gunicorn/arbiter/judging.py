"""Judge how workers end: whether it was a fault, when another may be started, whether the server ends with it.

Facts, time and chance for the arithmetic of ``restarts``.  Replaces gunicorn's rules for a worker that ends: fork
another at once, and end the server when its exit code is 3 or 4.  Those codes end the server while it has never served;
a new master of USR2 ends on any failed boot, so that the old one serves on; during a reload they undo the reload;
afterwards they are faults like others.
"""

from __future__ import annotations

import random
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Protocol

from gunicorn.errors import HaltServer

from ...lifecycle.endings import ending_of, is_fault_of_script
from ...lifecycle.restarts import PROBATION, Restarts
from ...roles.cluster import cluster
from .current_settings import settings_in_force
from .source_watch import SourceWatch, application_sources

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...base.records import ExitStatus
    from ...machine.background import Background
    from ...machine.sources import Fingerprint
    from ...operations.metrics.ledger import Ledger
    from ...roles.status import ClusterStatus
    from ...roles.worker_handle import WorkerEntry
    from .reloading import Reloader
    from .seat import Seat
    from .upgrading import Upgrade

__all__ = ["Judge"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose workers are judged.

        Attributes:
            app: gunicorn's application object.
            background: does what a disk may hold up.
            ledger: what workers have counted.
        """

        app: object
        background: Background
        ledger: Ledger
        WORKER_BOOT_ERROR: int
        APP_LOAD_ERROR: int

        def wakeup(self) -> None:
            """Let the main loop take another turn."""

        def status(self) -> ClusterStatus:
            """Return how the cluster is."""


class Judge:
    """Judges how workers end, and says when another may be started."""

    def __init__(self, arbiter: _Seat, reloader: Reloader, upgrade: Upgrade) -> None:
        self._arbiter = arbiter
        self._reloader = reloader
        self._upgrade = upgrade
        self._restarts = Restarts(settings_in_force().restarts, random.random)
        self._sources = SourceWatch(
            arbiter.loop, self._sample_sources, lambda: self._restarts.is_backing_off, self._sources_changed
        )
        self.last_fault: str | None = None
        self._wakes_at = 0.0

    @property
    def is_degraded(self) -> bool:
        """Whether workers keep failing."""
        return self._restarts.is_degraded

    @property
    def faults(self) -> int:
        """How many workers failed within the period that counts."""
        return self._restarts.recent_faults(time.monotonic())

    @property
    def next_attempt_in(self) -> float | None:
        """Seconds until a worker may be started again; ``None`` when none is waited for."""
        left = self._restarts.hold_until - time.monotonic()
        return left if left > 0 else None

    # --- the end of a worker -------------------------------------------------------------------

    def ended(self, entry: WorkerEntry, status: ExitStatus) -> None:
        """Judge the end of a worker, before it is told."""
        ending = ending_of(entry.way_out, status, has_listened=entry.listening_since is not None)
        if ending.kind == "asked":
            self._judge_leaver(entry)
            return
        self._configure()
        if self._fails_rollout(entry, ending.how) or (entry.judged and entry.way_out.overran is None):
            return
        now, has_listened = time.monotonic(), entry.listening_since is not None
        if ending.kind == "killed":
            if not has_listened:
                self.last_fault = ending.how
            is_degraded = self._restarts.killed(now, has_listened)
        else:
            self.last_fault = ending.how
            self._sources.begin()
            listened = 0.0 if entry.listening_since is None else now - entry.listening_since
            is_degraded = self._restarts.fault(now, listened, in_use=self._was_in_use(entry))
        if is_degraded:
            self._tell_degraded(now)

    def _fails_rollout(self, entry: WorkerEntry, how: str) -> bool:
        """Undo a rollout if the worker was to come up for it; return whether the former workers serve on."""
        roster = self._arbiter.roster
        if roster.rollout is None or entry.generation != roster.generation or entry.listening_since is not None:
            return False
        serves_on = roster.has_old_listeners()
        self._reloader.fail(f"a worker of the new generation {how}")
        self._configure()
        return serves_on

    def _was_in_use(self, entry: WorkerEntry) -> bool:
        """Whether it has failed over somebody's request: it was answering, or had answered and ended in order."""
        if entry.listening_since is None or entry.handle is None:
            return False
        return bool(_served(entry)) or self._arbiter.ledger.is_answering(entry.handle.id)

    def noted(self, entry: WorkerEntry, status: ExitStatus) -> None:
        """Take note of the end of a script's worker: nobody is replaced there, so nothing follows."""
        if is_fault_of_script(entry.way_out, status):
            self._configure()
            self._restarts.note_fault(time.monotonic())
            self.last_fault = ending_of(entry.way_out, status, has_listened=entry.listening_since is not None).how

    def look(self) -> None:
        """Before workers are started: judge those that leave, as their successors start before they have ended.

        What a worker has served is known when it reacts; one that has never listened has served nothing.
        """
        for entry in self._arbiter.roster.leaving:
            way_out = entry.way_out
            if way_out.was_told or way_out.overran is not None:
                continue
            if entry.listening_since is None or _served(entry) is not None:
                self._judge_leaver(entry)

    def _judge_leaver(self, entry: WorkerEntry) -> None:
        """An end that was asked for is no fault, unless workers leave before they have been of any use."""
        stayed, judged, entry.judged = _stayed(entry), entry.judged, True
        if stayed is None or judged or self._arbiter.cfg.reload or _served(entry):
            return  # with ``reload`` a changed file ends all workers, as often as a developer saves
        now = time.monotonic()
        self._configure()
        faults = self._restarts.recent_faults(now)
        degrades = self._restarts.left_at_once(now, entry.started, stayed)
        if self._restarts.recent_faults(now) > faults:
            self.last_fault = _describe_leaver(entry, stayed)
            self._sources.begin()
        if degrades:
            self._tell_degraded(now)

    def halt_if_unbootable(self, entry: WorkerEntry | None, status: ExitStatus) -> None:
        """End the server when its very first boot fails.

        Raises:
            HaltServer: with gunicorn's exit code.
        """
        arbiter = self._arbiter
        if arbiter.is_stopping or entry is None or entry.way_out.was_told or entry.listening_since is not None:
            return
        codes = {arbiter.WORKER_BOOT_ERROR: "Worker failed to boot.", arbiter.APP_LOAD_ERROR: "App failed to load."}
        if self._upgrade.is_candidate:
            code = status.code if status.code in codes else arbiter.WORKER_BOOT_ERROR
            raise HaltServer(codes[code], code)
        if status.code in codes and not arbiter.roster.has_listened and self._reloader.last_report is None:
            raise HaltServer(codes[status.code], status.code)

    # --- what may be started -------------------------------------------------------------------

    def allowed(self) -> int:
        """How many workers may be started now."""
        self._configure()
        count = self._restarts.allowed(time.monotonic(), self._arbiter.roster.trials)
        if count and self._restarts.is_backing_off:
            self._sources.note()
        if not count:
            self._wake_after_pause()
        return count

    def _wake_after_pause(self) -> None:
        """Look again when the pause is over: by itself the main loop does so once a second, which may be much later."""
        until, now = self._restarts.hold_until, time.monotonic()
        if until > now and until != self._wakes_at:
            self._wakes_at = until
            self._arbiter.loop.call_later(until - now, self._arbiter.wakeup)

    def retry_now(self) -> None:
        """Somebody asks for workers now: a reload, TTIN."""
        self._configure()
        self._restarts.retry_now()

    def turn(self) -> None:
        """Once a turn of the main loop: find out whether the roster has recovered."""
        self._configure()
        if self._restarts.observe(time.monotonic(), self._arbiter.roster.trials):
            self._arbiter.log.info("Workers run again: %s listen", len(self._arbiter.roster.listening))
            self._arbiter.loop.call_soon(cluster.emit, "recovered", self._arbiter.status())

    def _configure(self) -> None:
        self._restarts.policy = settings_in_force().restarts

    def _sample_sources(self, purpose: str, tell: Callable[[Fingerprint], None]) -> None:
        arbiter = self._arbiter
        sample = partial(application_sources, arbiter.app, arbiter.cfg, settings_in_force().watch)
        job = partial(_sample, arbiter.loop, sample, tell)
        arbiter.background.do(f"sources: {purpose}", job)

    def _sources_changed(self) -> None:
        self._arbiter.log.info("The application's files have changed: starting workers at once")
        self._restarts.retry_now()
        self._arbiter.wakeup()

    def _tell_degraded(self, now: float) -> None:
        self._arbiter.log.error(
            "Workers keep failing: %s faults, the last one %s. Next attempt in %.1f s; a changed source file or HUP "
            "tries at once.",
            self._restarts.unhealed_faults(now),
            self.last_fault,
            max(0.0, self._restarts.hold_until - now),
        )
        self._arbiter.loop.call_soon(cluster.emit, "degraded", self._arbiter.status())


def _sample(loop: Loop, sample: Callable[[], Fingerprint], tell: Callable[[Fingerprint], None]) -> None:
    loop.call_soon_threadsafe(tell, sample())


def _served(entry: WorkerEntry) -> int | None:
    return None if entry.handle is None else entry.handle.served()


def _stayed(entry: WorkerEntry) -> float | None:
    """Return for how long a worker had stayed when it left or fell due; ``None`` where the arbiter sent it away."""
    if entry.due_after is not None:
        return entry.due_after if entry.due_after < PROBATION else None
    if entry.way_out.was_told:
        return None
    return 0.0 if entry.listening_since is None else time.monotonic() - entry.listening_since


def _describe_leaver(entry: WorkerEntry, stayed: float) -> str:
    if entry.listening_since is None:
        return "left while booting"
    return f"left {stayed:.1f} s after it had begun to listen, without having served a request"
