"""Watch the health of the workers: blocked loops, saturated threads, and gunicorn's ``timeout``.

Replaces gunicorn's ``Arbiter.murder_workers``, which ends a silent worker before anybody knows what it was doing.  A
worker still ends when and as gunicorn says (SIGABRT, and SIGKILL on a later turn); before that it is asked for its
stacks (``examiner``), which takes a moment, and a second or two at most.

A worker whose loop does not turn is *blocked*, or *stopped* by a signal (then it cannot say what it was doing), or
dead, which reaping finds out.  A worker whose threads are all stuck in requests while others wait is *saturated*.  None
is ended for that: ``timeout`` does it, in server mode, where a loop gives no sign of life.

A primary that was kept from running judges no worker on that turn: what kept it (a machine that was suspended, a cgroup
that was frozen) kept its workers too.
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Callable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Final

from ...base.one_line import Lines
from ...lifecycle.loop_lag import BEAT_SECONDS, LoopWatch
from ...lifecycle.saturation import SaturationWatch
from ...machine.heartbeat import Heartbeat
from ...machine.notebook import Notebook
from ...machine.process_state import condition_of
from ...machine.real_time_signals import LAST_WORDS_SIGNAL
from ...operations.blocking_requests import requests_named
from ...roles.cluster import cluster
from .current_settings import settings_in_force
from .examiner import Examiner

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...base.records import Load
    from ...lifecycle.loop_lag import Change
    from ...lifecycle.registry import Registry
    from ...lifecycle.saturation import Saturation
    from ...operations.metrics.counts import InFlight
    from ...roles.worker_handle import WorkerHandle, WorkerRoster
    from ..gunicorn_types import GunicornLog, GunicornWorker

__all__ = ["Health"]

_SAMPLES: Final = 4  # within ``blocked_after``
_SHORTEST_PAUSE: Final = 0.05
_LONGEST_PAUSE: Final = 1.0


class Health:
    """Watches the workers of one arbiter.

    Args:
        loop: the arbiter's.
        log: says who is blocked, and what it is doing.
        roster: the workers, as the arbiter knows them.
        registry: the workers, as the primary knows them.
        kill: sends a signal to the worker with a pid.
        waiting: returns how many connections wait for a worker.
        in_flight: returns the requests that a worker, by its id, has in flight, oldest first.
        warns_unasked: whether there is a limit where ``blocked_after`` is not set; not in script mode, as in Node.

    Attributes:
        examiner: asks workers for their stacks.
        on_change: told which worker is blocked or saturated, or is no longer.
    """

    def __init__(
        self,
        loop: Loop,
        log: GunicornLog,
        roster: WorkerRoster,
        registry: Registry[WorkerHandle],
        kill: Callable[[int, int], None],
        waiting: Callable[[], int],
        in_flight: Callable[[int], list[InFlight]],
        *,
        warns_unasked: bool,
    ) -> None:
        self._loop = loop
        self._log = log
        self._roster = roster
        self._registry = registry
        self._kill = kill
        self._warns_unasked = warns_unasked
        self._waiting = waiting
        self._in_flight = in_flight
        self.examiner = Examiner(loop)
        self.on_change: Callable[[WorkerHandle, Change | Saturation], None] | None = None
        self._watches: dict[int, LoopWatch] = {}  # by the worker's id
        self._threads: dict[int, SaturationWatch] = {}  # likewise
        self._examined: set[int] = set()  # the pids that are asked for their stacks before they are ended
        self._sample_later(time.monotonic())

    def born(self, worker: WorkerHandle) -> None:
        """A worker is about to be forked.

        Raises:
            OSError: no descriptor is left.
        """
        worker.heartbeat = Heartbeat()
        worker.notebook = Notebook()

    def gone(self, worker: WorkerHandle) -> None:
        """Forget a worker that has ended, or was never forked."""
        self._watches.pop(worker.id, None)
        self._threads.pop(worker.id, None)
        for shared in (worker.heartbeat, worker.notebook):
            if shared is not None:
                shared.close()

    def abandon(self, worker: WorkerHandle | None) -> None:
        """In a forked child: keep the memory of ``worker`` only."""
        for other in self._registry.by_id.values():
            if other is not worker:
                for shared in (other.heartbeat, other.notebook):
                    if shared is not None:
                        shared.close()

    # --- blocked -------------------------------------------------------------------------------

    @property
    def _limit(self) -> float:
        is_asked = self._warns_unasked or "blocked_after" in cluster.settings
        return settings_in_force().blocked_after if is_asked else 0.0

    def _sample_later(self, now: float) -> None:
        limit = self._limit
        pause = max(_SHORTEST_PAUSE, min(limit / _SAMPLES, _LONGEST_PAUSE)) if limit else _LONGEST_PAUSE
        self._loop.call_later(pause, self._sample, now + pause)

    def _sample(self, due: float) -> None:
        now = time.monotonic()
        self._sample_later(now)
        limit = self._limit
        if now - due > BEAT_SECONDS:
            return
        for worker in list(self._registry.by_id.values()):
            if worker.heartbeat is not None and worker.is_connected():
                watch = self._watches.setdefault(worker.id, LoopWatch())
                change = watch.observe(worker.heartbeat.read(), now, limit)
                if change is not None:
                    self._changed(worker, change)
                self._sample_threads(worker, worker.heartbeat.load(), now, limit)

    def _sample_threads(self, worker: WorkerHandle, load: Load, now: float, limit: float) -> None:
        watch = self._threads.get(worker.id)
        if watch is None:
            if not load.full_since:
                return  # it may have no threads at all
            watch = self._threads[worker.id] = SaturationWatch()
        change = watch.observe(load, self._waiting() if load.full_since else 0, now, limit)
        if change is not None:
            self._threads_changed(worker, change)

    def _threads_changed(self, worker: WorkerHandle, change: Saturation) -> None:
        pid, log = worker.process.pid or 0, self._log
        if change.word == "relieved":
            worker.health = "ok" if worker.health == "saturated" else worker.health
            log.warning("Worker (pid:%s) is no longer saturated, after %.1f s", pid, change.seconds)
        elif worker.health != "ok":
            return
        else:
            worker.health = "saturated"
            title = (
                f"Worker (pid:{pid}) is saturated: all its threads are busy, none has answered for "
                f"{change.seconds:.1f} s, and connections wait"
            )
            self.examiner.ask(worker, partial(_tell, log.warning, title))
        if self.on_change is not None:
            self.on_change(worker, change)

    def _changed(self, worker: WorkerHandle, change: Change) -> None:
        pid, log = worker.process.pid or 0, self._log
        condition = condition_of(pid)
        if change.word == "unblocked":
            worker.health = "ok"
            log.warning("Worker (pid:%s) is no longer blocked, after %.1f s", pid, change.seconds)
        elif condition == "stopped":
            worker.health = "stopped"
            log.warning("Worker (pid:%s) is stopped: somebody has sent it a signal such as SIGSTOP", pid)
        elif condition == "dead":
            return
        else:
            worker.health = "blocked"
            title = f"Worker (pid:{pid}) is blocked ({condition}): its loop has not turned for {change.seconds:.1f} s"
            self.examiner.ask(worker, partial(self._tell_blocked, log.warning, worker.id, title))
        if self.on_change is not None:
            self.on_change(worker, change)
        worker.emit(change.word, change.seconds)
        cluster.emit(change.word, worker, change.seconds)

    def _tell_blocked(self, log: Callable[..., None], worker_id: int, title: str, stacks: str) -> None:
        """Tell what a worker is doing, and which request it does that for."""
        requests = requests_named(self._in_flight(worker_id), stacks, time.monotonic())
        _tell(log, f"{title}\n{requests}", stacks)

    # --- timeout -------------------------------------------------------------------------------

    def murder(self, workers: Mapping[int, GunicornWorker], timeout: float) -> None:
        """Once a turn: end the workers that gave no sign of life for longer than ``timeout``.

        Args:
            workers: the arbiter's, by pid.
            timeout: seconds; 0 for no limit.
        """
        for pid, worker in list(workers.items()) if timeout else ():
            if not _is_silent(worker, timeout) or pid in self._examined:
                continue
            if worker.aborted:
                self._kill(pid, signals.SIGKILL)
            else:
                worker.aborted = True
                self._log.critical("WORKER TIMEOUT (pid:%s)", pid)
                self._abort(pid, timeout)

    def _abort(self, pid: int, timeout: float) -> None:
        entry = self._roster.with_pid(pid)
        if entry is not None:
            entry.way_out.overrun(f"gave no sign of life within timeout ({timeout:g} s)")
        if entry is None or entry.handle is None or condition_of(pid) in ("stopped", "dead"):
            self._kill(pid, signals.SIGABRT)
            return
        self._examined.add(pid)
        examined = partial(self._abort_examined, pid, entry.handle.id)
        self.examiner.ask(entry.handle, examined, LAST_WORDS_SIGNAL)

    def _abort_examined(self, pid: int, worker_id: int, stacks: str) -> None:
        self._examined.discard(pid)
        if self._roster.with_pid(pid) is not None:
            self._tell_blocked(self._log.error, worker_id, f"What worker (pid:{pid}) is doing", stacks)
            self._kill(pid, signals.SIGABRT)


def _is_silent(worker: GunicornWorker, timeout: float) -> bool:
    try:
        silent: bool = time.monotonic() - worker.tmp.last_update() > timeout
    except (OSError, ValueError):
        return False
    return silent


def _tell(log: Callable[..., None], title: str, stacks: str) -> None:
    log("%s\n%s", Lines(title), Lines(stacks))
