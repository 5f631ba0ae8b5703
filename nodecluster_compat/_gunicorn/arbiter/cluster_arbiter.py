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

import errno
import signal as signals
import time
from collections import deque
from typing import TYPE_CHECKING, Any, Final

from gunicorn.errors import HaltServer

from ... import under_test as test_mode
from ...base.emitter import set_log
from ...base.loop import Loop
from ...lifecycle.crew import Crew
from ...operations.desk import PrimaryTestHost
from ...operations.journal import Journal, attach_journal
from ...roles.cluster import SCHED_RR, cluster
from ...roles.primary import Primary
from . import forking, reaping, stopping
from .copy_on_write import prepare_for_workers
from .health import Health
from .pressure import Pressure
from .recycler import Recycler
from .reloading import Reloader
from .service import Service
from .supervising import Supervisor, settings_in_force
from .upgrading import Upgrade

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from gunicorn.arbiter import Arbiter as _Base

    from ...base.records import ServedAddress
    from ...lifecycle.crew import Mate
    from ...lifecycle.rollout import ReloadReport
    from ...lifecycle.steps import Step
    from ...roles.status import ClusterStatus
    from ...roles.worker_handle import WorkerHandle
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

    is_supervised = True
    """Whether workers that end are replaced here; false where a script alone forks."""

    loop: Loop
    primary: Primary
    crew: Crew
    journal: Journal | None
    served: list[ServedAddress]
    spawning: WorkerHandle | None
    exiting: Mate | None
    reloader: Reloader
    supervisor: Supervisor
    recycler: Recycler
    health: Health
    pressure: Pressure
    service: Service
    upgrade: Upgrade
    is_stopping: bool
    WORKERS: dict[int, Any]
    LISTENERS: list[Any]
    _last_logged_active_worker_count: int | None

    def become_cluster_arbiter(self) -> None:
        """Set up loop, primary and listeners; called once, before the first fork."""
        prepare_for_workers(self.cfg)
        self.WORKERS = dict(self.WORKERS)  # gunicorn's is a class attribute, shared by every arbiter
        self.loop = Loop(self.log)
        self.crew = Crew()
        self.served = []
        self.spawning = None
        self.exiting = None
        self.is_stopping = False
        self._is_finishing = False
        self._requested: deque[WorkerHandle] = deque()
        self.primary = Primary(self, self.loop, cluster, self.log, self.cfg.graceful_timeout, QUEUE_LIMIT)
        self.journal = attach_journal(self.primary)
        set_log(self.log)
        forking.register(self)
        signals.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        self.upgrade = Upgrade(self)
        self.reloader = Reloader(self)
        cluster.become_primary(self.primary)
        self.supervisor = Supervisor(self)
        self.recycler = Recycler(self)
        self.health = Health(self)
        self.pressure = Pressure(self)
        test_mode.enter_primary(PrimaryTestHost(self))

    def serve_listeners(self, known: Mapping[int, ServedAddress] | None = None) -> None:
        """Accept on the listeners for the workers, unless they accept for themselves.

        Args:
            known: what is served already, by the ``id()`` of gunicorn's socket object.
        """
        for listener in self.LISTENERS:
            listener.sock.set_inheritable(False)  # by what a handler starts; a new master's are, see Upgrade
        if cluster.freeze_policy() == SCHED_RR:
            served = known or {}
            self.served = [
                served.get(id(listener)) or self.primary.listeners.add(listener.sock, listener.FAMILY)
                for listener in self.LISTENERS
            ]

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
        if self.is_stopping or self._is_finishing or self.primary.is_disconnecting:
            return
        if not getattr(self.worker_class, "is_cluster_worker", False):
            self.give_up_requested("a reload changed the worker class")
        self.reloader.look()
        self.recycler.look()
        self._make_room_for_requested()
        step = self._next_step()
        for pid in self.crew.pids_of(self.reloader.may_retire(step.retire)):
            self.kill_worker(pid, signals.SIGTERM)
        self.spawn_workers()
        self.upgrade.tell_if_ready()
        self.supervisor.look()
        self.service.look()
        self._report_workers()

    def spawn_workers(self) -> None:
        """Replaces gunicorn's, which sleeps after each fork."""
        missing = self._next_step().start
        for _ in range(min(missing, self.supervisor.allowed()) if missing else 0):
            if self.spawn_worker() is None:
                return  # logged; tried again on a later turn

    def _next_step(self) -> Step:
        target = self.num_workers
        return self.crew.next_step(target, self.supervisor.settings.bounds(target))

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
            self.crew.add(self.worker_age, pid, handle, time.monotonic())
        return pid

    def end_worker(self, pid: int) -> None:
        """Tell a worker of a generation that is given up to end; one that still boots has nothing to finish."""
        self.kill_worker(pid, signals.SIGTERM)
        mate = self.crew.with_pid(pid)
        if mate is not None and mate.listening_since is None:
            self.kill_worker(pid, signals.SIGKILL)

    def kill_worker(self, pid: int, sig: int) -> None:
        """Extends gunicorn's: a worker that is told to end gets no further connection."""
        mate = self.crew.with_pid(pid)
        if mate is not None and sig in _ENDING_SIGNALS:
            first, mate.told_to_end = not mate.told_to_end, True
            if mate.handle is not None:
                self.primary.retire(mate.handle)
            if first and not self.is_stopping:
                self._limit_end(mate, None)
        super().kill_worker(pid, sig)

    def murder_workers(self) -> None:
        """Replaces gunicorn's, which ends a silent worker before anybody knows what it was doing."""
        self.health.murder()

    def reap_workers(self) -> None:
        """Replaces gunicorn's, which throws away the exit status that the ``exit`` event reports."""
        try:
            reaping.reap(self)
        except SystemExit as error:
            self._exit_in_order(error)

    def _limit_end(self, mate: Mate, timeout: float | None) -> None:
        seconds = self.cfg.graceful_timeout if timeout is None else timeout
        limit = "graceful_timeout" if timeout is None else f"{timeout:g} s"
        self.loop.call_later(seconds + KILL_MARGIN, self._kill_late, mate, limit)

    def _kill_late(self, mate: Mate, limit: str) -> None:
        if self.crew.with_pid(mate.pid) is mate:
            self.log.error("Worker (pid:%s) did not end within %s: killed", mate.pid, limit)
            self.kill_worker(mate.pid, signals.SIGKILL)

    def _make_room_for_requested(self) -> None:
        """``cluster.fork()`` beyond the vacancies raises the number; a pause of the back-off holds for it, too."""
        extra = len(self._requested) - self.crew.missing(self.num_workers)
        if extra > 0:
            self.num_workers += extra

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
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        reason = self._why_not()
        if reason is None:
            self._requested.append(worker)
            self.wakeup()
        else:
            self.primary.failed_to_start(worker, OSError(errno.ECANCELED, reason))

    def _why_not(self) -> str | None:
        """Return why ``cluster.fork()`` cannot have a worker now, ``None`` when it can."""
        if self.is_stopping or self._is_finishing or self.primary.is_disconnecting:
            return "the server is ending"
        if not getattr(self.worker_class, "is_cluster_worker", False):
            return f"the workers are now of {self.worker_class.__name__}, which has no channel"
        if self.exiting is not None and self.exiting.told_to_end and not self.crew.missing(self.num_workers):
            return "the worker that exits was retired and leaves no place"
        return None

    def give_up_requested(self, reason: str) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        while self._requested:
            self.primary.failed_to_start(self._requested.popleft(), OSError(errno.ECANCELED, reason))

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        """See ``Host``: as long as one that a signal ends, unless told otherwise."""
        mate = self.crew.with_pid(worker.process.pid) if worker.process.pid is not None else None
        if mate is not None:
            self._limit_end(mate, timeout)

    def is_dealing(self) -> bool:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return bool(self.served)

    def message_limit(self) -> int:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return settings_in_force().max_message_bytes

    def is_binding(self) -> bool:
        """See :class:`~nodecluster_compat.roles.host.Host`: gunicorn's ``bind`` says it all."""
        return not self.is_supervised

    def in_worker(self) -> None:
        """In a forked worker: let go of what only the primary needs."""

    def stand_in(self) -> WorkerHandle | None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return self.crew.stand_in(self.exiting) if self.exiting is not None else None

    def worker_listens(self, worker: WorkerHandle) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.crew.listens(worker, time.monotonic())
        self.wakeup()

    def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.reloader.ask(callback)
        self.SIG_QUEUE.put_nowait(signals.SIGHUP)
        self.loop.wake()

    def status(self) -> ClusterStatus:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        return self.supervisor.status()

    def worker_changed(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.wakeup()

    def finish(self) -> None:
        """See :class:`~nodecluster_compat.roles.host.Host`."""
        self.upgrade.forget()
        self._is_finishing = True  # nobody is started any more, although the signal is still to be handled
        self.SIG_QUEUE.put_nowait(signals.SIGTERM)
        self.loop.wake()

    # --- reload and stop -----------------------------------------------------------------------

    def reload(self) -> None:
        """Replaces gunicorn's, which waits for the old workers with nobody accepting."""
        self.service.begin_reload()
        self.reloader.begin()

    def reexec(self) -> None:
        """Extends gunicorn's: the new master says when it is ready."""
        self.upgrade.begin(super().reexec)

    def handle_term(self) -> None:
        """Extends gunicorn's: not before the new master of an upgrade is ready."""
        if not self.upgrade.holds_term():
            super().handle_term()

    def handle_ttin(self) -> None:
        """Extends gunicorn's: who asks for a worker wants it now."""
        self.supervisor.retry_now()
        super().handle_ttin()

    def stop(self, graceful: bool = True) -> None:
        """Replaces gunicorn's, which sleeps and drops connections that the kernel has completed."""
        if not self.is_stopping:
            self.service.stop()
        stopping.stop(self, graceful)
        self.supervisor.close()


def adopt(arbiter: Any) -> None:
    """Turn an arbiter into a cluster arbiter; its own class, whatever it is, stays the base."""
    if isinstance(arbiter, ClusterArbiter):
        return
    stock = type(arbiter)
    arbiter.__class__ = type("ClusterArbiter", (ClusterArbiter, stock), {"__module__": stock.__module__})
    arbiter.become_cluster_arbiter()
    arbiter.service = Service(arbiter)
    arbiter.serve_listeners()
    if not cluster.settings:
        cluster.setup_primary()
