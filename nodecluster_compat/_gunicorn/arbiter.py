"""The cluster arbiter: gunicorn's arbiter, waiting in our loop, with Node's primary inside.

Theory of operation
-------------------
:func:`adopt` turns a running arbiter into a cluster arbiter before its first fork (see ``install``).  From then
on gunicorn's main loop is unchanged, but what it waits in is ours, and whatever used to sleep or wait (``reload``,
``stop``, ``spawn_workers``) turns the same loop instead, so connections, messages and events flow all the time.

Everything here runs on the main thread, except :meth:`ClusterArbiter.wakeup`, which gunicorn's control server
calls from its own.  A forked worker leaves through ``sys.exit`` *up this stack*: nothing here may use ``finally``
around a fork.
"""

from __future__ import annotations

import signal as signals
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from gunicorn.errors import HaltServer

from ..cluster_facade import SCHED_RR, cluster
from ..crew import Crew
from ..emitter import set_log
from ..journal import Journal, attach_journal
from ..loop import Loop
from ..primary import Primary
from . import forking, reaping, reloading, stopping

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter as _Base

    from ..crew import Mate
    from ..records import ServedAddress
    from ..worker_handle import WorkerHandle
else:
    _Base = object  # the real base is the class of the arbiter that is adopted

__all__ = ["ClusterArbiter", "adopt"]

QUEUE_LIMIT: Final = 128
"""Accepted connections that wait in the primary, for each listener; beyond it the kernel's backlog holds them."""

KILL_MARGIN: Final = 2.0
"""Seconds after ``graceful_timeout`` until a worker that was told to end is killed."""

_ENDING_SIGNALS: Final = frozenset({signals.SIGTERM, signals.SIGQUIT, signals.SIGINT})


class ClusterArbiter(_Base):  # type: ignore[misc]  # gunicorn has no type hints
    """A mixin for gunicorn's :class:`~gunicorn.arbiter.Arbiter`; see the module for how it gets in place."""

    loop: Loop
    primary: Primary
    crew: Crew
    journal: Journal | None
    served: list[ServedAddress]
    spawning: WorkerHandle | None
    exiting: Mate | None
    is_stopping: bool
    keeps_workers = True  # there should be some: an end is worth a line, and exit codes 3 and 4 mean what gunicorn says
    WORKERS: dict[int, Any]
    LISTENERS: list[Any]
    _last_logged_active_worker_count: int | None

    def become_cluster_arbiter(self) -> None:
        """Set up loop, primary and listeners; called once, before the first fork."""
        self.WORKERS = dict(self.WORKERS)  # gunicorn's is a class attribute, shared by every arbiter
        self.loop = Loop(self.log)
        self.crew = Crew()
        self.served = []
        self.spawning = None
        self.exiting = None
        self.is_stopping = False
        self._requested: deque[WorkerHandle] = deque()
        self.primary = Primary(self, self.loop, cluster, self.log, self.cfg.graceful_timeout, QUEUE_LIMIT)
        self.journal = attach_journal(self.primary)
        set_log(self.log)
        forking.register(self)
        signals.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        cluster.become_primary(self.primary)

    def serve_listeners(self) -> None:
        """Accept on the listeners for the workers, unless they accept for themselves."""
        if cluster.freeze_policy() == SCHED_RR:
            self.served = [self.primary.listeners.add(listener.sock, listener.FAMILY) for listener in self.LISTENERS]

    # --- waiting -------------------------------------------------------------------------------

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Replaces the wait in gunicorn's signal queue: the same answer, from our loop."""
        deadline = time.monotonic() + timeout
        while self.SIG_QUEUE.empty():
            patience = deadline - time.monotonic()
            if patience <= 0:
                break
            self.turn(patience)
        return self._take_signals()

    def turn(self, timeout: float) -> None:
        """Run one turn of the loop."""
        try:
            self.loop.run_once(timeout)
        except SystemExit as error:
            self._exit_in_order(error)

    def _exit_in_order(self, error: SystemExit) -> None:
        """Let a handler in the primary that calls ``sys.exit`` end the server, workers and all."""
        if not self.is_stopping:
            code = error.code if isinstance(error.code, int) else int(bool(error.code))
            raise HaltServer("A handler in the primary asked to exit.", code) from error

    def wakeup(self) -> None:
        """Extends gunicorn's: the queue alone would not end a wait in our loop.  Any thread may call it."""
        super().wakeup()
        self.loop.wake()

    def _take_signals(self) -> list[int]:
        received: list[int] = []
        while not self.SIG_QUEUE.empty():
            number = self.SIG_QUEUE.get_nowait()
            if number != self.WAKEUP_REQUEST:
                received.append(number)
        return received

    # --- keeping the number of workers ---------------------------------------------------------

    def manage_workers(self) -> None:
        """Replaces gunicorn's: start what is missing, retire what is too many once others listen.

        It reaps as well: in a primary that a user has monkey-patched, gevent takes SIGCHLD for itself.
        """
        self.reap_workers()
        if self.is_stopping or self.primary.is_disconnecting:
            return
        self._spawn_requested()
        self.spawn_workers()
        for pid in self.crew.to_retire(self.num_workers):
            self.kill_worker(pid, signals.SIGTERM)
        self._report_workers()

    def spawn_workers(self) -> None:
        """Replaces gunicorn's, which sleeps after each fork."""
        for _ in range(self.crew.missing(self.num_workers)):
            if self.spawn_worker() is None:
                return  # logged; tried again on a later turn

    def spawn_worker(self) -> int | None:
        """Extends gunicorn's: the worker is born with channels, and TERM cannot fall into the gap."""
        if not getattr(self.worker_class, "is_cluster_worker", False):
            pid: int | None = super().spawn_worker()
            handle = None
        else:
            try:
                handle = self._requested.popleft() if self._requested else self.primary.new_worker()
            except OSError as error:
                self.log.error("Could not start a worker: %s. Trying again.", error)
                return None
            pid = forking.fork_worker(self, handle, super().spawn_worker)
        if pid is not None:
            self.crew.add(self.worker_age, pid, handle)
        return pid

    def kill_worker(self, pid: int, sig: int) -> None:
        """Extends gunicorn's: a worker that is told to end gets no further connection."""
        mate = self.crew.with_pid(pid)
        if mate is not None and sig in _ENDING_SIGNALS:
            first, mate.told_to_end = not mate.told_to_end, True
            if mate.handle is not None:
                self.primary.retire(mate.handle)
            if first and not self.is_stopping:
                self.loop.call_later(self.cfg.graceful_timeout + KILL_MARGIN, self._kill_late, mate)
        super().kill_worker(pid, sig)

    def reap_workers(self) -> None:
        """Replaces gunicorn's, which throws away the exit status that the ``exit`` event reports."""
        try:
            reaping.reap(self)
        except SystemExit as error:
            self._exit_in_order(error)

    def _kill_late(self, mate: Mate) -> None:
        if self.crew.with_pid(mate.pid) is mate:
            self.log.error("Worker (pid:%s) did not end within graceful_timeout: killed", mate.pid)
            self.kill_worker(mate.pid, signals.SIGKILL)

    def _spawn_requested(self) -> None:
        for _ in range(len(self._requested)):
            if not self.crew.missing(self.num_workers):
                self.num_workers += 1
            self.spawn_worker()

    def _report_workers(self) -> None:
        """The two metrics of gunicorn's ``manage_workers``, with our own queue in the backlog."""
        count = len(self.crew.staying)
        if self._last_logged_active_worker_count != count:
            self._last_logged_active_worker_count = count
            extra = {"metric": "gunicorn.workers", "value": count, "mtype": "gauge"}
            self.log.debug("%s workers", count, extra=extra)
        if self.cfg.enable_backlog_metric:
            backlog = sum(listener.get_backlog() or 0 for listener in self.LISTENERS)
            if backlog >= 0:
                backlog += self.primary.listeners.waiting_connections
                extra = {"metric": "gunicorn.backlog", "value": backlog, "mtype": "histogram"}
                self.log.debug("socket backlog: %s", backlog, extra=extra)

    # --- what the primary asks of its host -----------------------------------------------------

    def spawn_soon(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.primary.Host`."""
        self._requested.append(worker)
        self.wakeup()

    def is_dealing(self) -> bool:
        """See :class:`~nodecluster_compat.primary.Host`."""
        return bool(self.served)

    def in_worker(self) -> None:
        """In a forked worker: let go of what only the primary needs."""

    def stand_in(self) -> WorkerHandle | None:
        """See :class:`~nodecluster_compat.primary.Host`."""
        return self.crew.stand_in(self.exiting) if self.exiting is not None else None

    def worker_changed(self) -> None:
        """See :class:`~nodecluster_compat.primary.Host`."""
        self.wakeup()

    def finish(self) -> None:
        """See :class:`~nodecluster_compat.primary.Host`."""
        self.SIG_QUEUE.put_nowait(signals.SIGTERM)
        self.loop.wake()

    # --- reload and stop -----------------------------------------------------------------------

    def reload(self) -> None:
        """Replaces gunicorn's, which waits for the old workers with nobody accepting."""
        reloading.reload(self)

    def stop(self, graceful: bool = True) -> None:
        """Replaces gunicorn's, which sleeps and drops connections that the kernel has completed."""
        stopping.stop(self, graceful)


def adopt(arbiter: Any) -> None:
    """Turn an arbiter into a cluster arbiter; its own class, whatever it is, stays the base."""
    if isinstance(arbiter, ClusterArbiter):
        return
    stock = type(arbiter)
    arbiter.__class__ = type("ClusterArbiter", (ClusterArbiter, stock), {"__module__": stock.__module__})
    arbiter.become_cluster_arbiter()
    arbiter.serve_listeners()
    if not cluster.settings:
        cluster.setup_primary()
