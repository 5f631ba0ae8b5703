"""End workers that exceed a limit of time: of booting, of leaving, of staying although they said that they leave.

gunicorn limits a worker that runs (``timeout``) and not one that boots: its heartbeat begins with serving.  So there
is a limit of its own for that, ``boot_timeout``.  Unless it is set it holds in a reload alone, where the old workers
serve on.  At any other time nobody serves in the place of a worker that is ended, and an import may take minutes.
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final, TypeAlias

from ...base.one_line import Lines
from ...machine.process_state import condition_of

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...base.timers import Timer
    from ...roles.worker_handle import WorkerEntry, WorkerHandle, WorkerRoster
    from ..gunicorn_types import GunicornLog

__all__ = ["KILL_MARGIN", "WorkerLimits"]

KILL_MARGIN: Final = 2.0
"""Seconds after ``graceful_timeout`` until a worker that was told to end is killed."""

_USUAL_SECONDS: Final = 120.0  # of a boot: in a reload, and until one at another time is told
_LONGER_THAN_BEFORE: Final = 2  # times the longest boot
_ABORT_SECONDS: Final = 1.0
_HURRY_SECONDS: Final = 2.0  # to close idle connections, until a worker that leaves by its own wish is killed


Examine: TypeAlias = "Callable[[WorkerHandle, Callable[[str], None]], None]"


class WorkerLimits:
    """The limits of one arbiter's workers.

    Args:
        loop: the arbiter's.
        log: says who was ended, and why.
        roster: the workers.
        kill: sends a signal to the worker with a pid.
        examine: asks a worker for its stacks.
    """

    def __init__(
        self,
        loop: Loop,
        log: GunicornLog,
        roster: WorkerRoster,
        kill: Callable[[int, int], None],
        examine: Examine,
    ) -> None:
        self._loop = loop
        self._log = log
        self._roster = roster
        self._kill = kill
        self._examine = examine
        self._told: set[int] = set()  # pids of those that boot for long
        self._ends: dict[int, list[Timer]] = {}  # by pid

    def limit_end(self, entry: WorkerEntry, seconds: float, limit: str) -> None:
        """A worker was told to end, or leaves: kill it a moment after so many seconds, which ``limit`` names."""
        timer = self._loop.call_later(seconds + KILL_MARGIN, self._kill_late, entry, limit)
        self._ends.setdefault(entry.pid, []).append(timer)

    def gone(self, pid: int) -> None:
        """A worker has ended: no limit holds for whoever has its pid next."""
        self._told.discard(pid)
        for timer in self._ends.pop(pid, ()):
            timer.cancel()

    def _kill_late(self, entry: WorkerEntry, limit: str) -> None:
        if self._roster.with_pid(entry.pid) is entry:
            self._log.error("Worker (pid:%s) did not end within %s: killed", entry.pid, limit)
            self._kill(entry.pid, signals.SIGKILL)

    def turn(self, boot_timeout: float | None, target: int) -> None:
        """Once a turn of the main loop: end those that boot for too long, and those that left and stay.

        Args:
            boot_timeout: seconds; 0 for no limit, ``None`` for one in a reload alone.
            target: how many workers there should be.
        """
        if boot_timeout is None and self._roster.rollout is not None:
            boot_timeout = max(_USUAL_SECONDS, self._roster.longest_boot * _LONGER_THAN_BEFORE)
        if boot_timeout:
            self._end_overdue(boot_timeout)
        elif boot_timeout is None:
            self._tell_overdue()
        self._hurry_those_that_leave(target)

    def _end_overdue(self, limit: float) -> None:
        now = time.monotonic()
        for entry in self._roster.booting:
            if now - entry.started > limit and entry.way_out.overran is None:
                entry.way_out.overrun(f"did not listen within boot_timeout ({limit:g} s)")
                told = "WORKER BOOT TIMEOUT (pid:%s): not listening after %g s: see setup_primary(boot_timeout=...)"
                self._log.critical(told, entry.pid, limit)
                self._ask(entry, partial(self._end_examined, entry))

    def _tell_overdue(self) -> None:
        now = time.monotonic()
        for entry in self._roster.booting:
            if now - entry.started > _USUAL_SECONDS and entry.pid not in self._told:
                self._told.add(entry.pid)
                told = "Worker (pid:%s) is not listening after %g s, and setup_primary(boot_timeout=...) sets no limit"
                self._log.warning(told, entry.pid, _USUAL_SECONDS)
                self._ask(entry, partial(self._tell_stacks, entry))

    def _ask(self, entry: WorkerEntry, then: Callable[[str], None]) -> None:
        """Ask what a worker does, unless it can say nothing."""
        if entry.handle is None or condition_of(entry.pid) in ("stopped", "dead"):
            then("")
        else:
            self._examine(entry.handle, then)

    def _tell_stacks(self, entry: WorkerEntry, stacks: str) -> None:
        if stacks:
            self._log.error("What worker (pid:%s) is doing\n%s", entry.pid, Lines(stacks))

    def _end_examined(self, entry: WorkerEntry, stacks: str) -> None:
        self._tell_stacks(entry, stacks)
        if self._roster.with_pid(entry.pid) is entry:
            self._kill(entry.pid, signals.SIGABRT)
            self._loop.call_later(_ABORT_SECONDS, self._kill_aborted, entry)

    def _kill_aborted(self, entry: WorkerEntry) -> None:
        if self._roster.with_pid(entry.pid) is entry:
            self._kill(entry.pid, signals.SIGKILL)

    def _hurry_those_that_leave(self, target: int) -> None:
        now = time.monotonic()
        for entry in self._roster.crowding(target):
            if entry.hurried is None:
                entry.hurried = now
                if entry.handle is not None:
                    entry.handle.close_idle()
            elif now - entry.hurried >= _HURRY_SECONDS and not entry.way_out.was_told:  # those have a limit of time
                self._end_overstaying(entry)

    def _end_overstaying(self, entry: WorkerEntry) -> None:
        self._log.error("Worker (pid:%s) said that it leaves and did not end, like too many others: killed", entry.pid)
        entry.way_out.tell()
        self._kill(entry.pid, signals.SIGKILL)
