"""Turn gunicorn's arbiter into a cluster arbiter: it waits in our loop and leaves each task to a helper of this folder.

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

import atexit
import os
import signal as signals
import time
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from ... import under_test
from ...base.exit_code import exit_code_of
from ...base.guarded import set_log
from ...base.loop import Loop
from ...base.native import in_force
from ...base.version import __version__
from ...machine.background import Background
from ...machine.children import ForgottenChildren
from ...machine.said_once import allow_once
from ...machine.state_folder import STATE_VARIABLE, StateFolder
from ...operations.desk import Desk
from ...operations.journal import Journal, attach_journal
from ...operations.metrics.ledger import Ledger
from ...roles.cluster import SCHED_RR, cluster
from ...roles.primary import Primary
from ...roles.process import process
from ...roles.worker_handle import WorkerEntry, WorkerRoster
from ...sharing.attach import share
from ..log_lines import keep_lines_whole
from . import forking, log_files, reaping, stopping
from .configuration import CONFIG_MODULE, config_module
from .copy_on_write import keep_uncounted, prepare_for_workers
from .current_settings import settings_in_force
from .dealing_rules import DealingRules
from .exits import Exits
from .health import Health
from .hosting import Hosting
from .judging import Judge
from .limits import Limits
from .log_probe import LogProbe
from .main_loop import MainLoop
from .metrics import report_workers
from .operators import Operators
from .pressure import Pressure
from .recycler import Recycler
from .reloading import Reloader
from .service import Service
from .status_board import StatusBoard
from .status_keeper import StatusKeeper
from .upgrading import Upgrade
from .waiting_signals import WaitingSignals

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gunicorn.arbiter import Arbiter as _Base

    from ...base.guarded import Origin
    from ...base.records import ServedAddress
    from ...lifecycle.steps import Step
    from ...roles.worker_handle import ChildEnds, WorkerHandle
    from ...sharing.verbs import Moment
    from ..gunicorn_types import GunicornLog, GunicornWorker, ListeningSocket
else:
    _Base = object  # the real base is the class of the arbiter that is adopted

__all__ = ["ClusterArbiter", "adopt"]

QUEUE_LIMIT: Final = 128
"""Accepted connections that wait in the primary, for each listener; beyond it the kernel's backlog holds them."""

_LAST_SECONDS: Final = 2.0  # for the disk, before the server ends
_ENDING_SIGNALS: Final = frozenset({signals.SIGTERM, signals.SIGQUIT, signals.SIGINT})


class ClusterArbiter(Hosting, MainLoop, _Base):  # type: ignore[misc]  # gunicorn has no type hints
    """A mixin for gunicorn's :class:`~gunicorn.arbiter.Arbiter`; see the module for how it gets in place."""

    pid: int
    log: GunicornLog
    journal: Journal | None
    spawning: WorkerHandle | None
    recycler: Recycler
    exits: Exits
    health: Health
    ledger: Ledger
    service: Service
    operators: Operators
    WORKERS: dict[int, GunicornWorker]
    LISTENERS: list[ListeningSocket]

    def become_cluster_arbiter(self) -> None:
        """Set up loop, primary and listeners; called once, before the first fork."""
        keep_lines_whole(self.log)
        prepare_for_workers(self.worker_class, self.cfg, self.log)
        keep_uncounted()
        self.WORKERS = dict(self.WORKERS)  # gunicorn's is a class attribute, shared by every arbiter
        self.loop = Loop(self.log)
        self.waiting_signals = WaitingSignals()
        self.roster = WorkerRoster()
        self.served = []
        self.spawning = None
        self.exiting = None
        self.forgotten = ForgottenChildren()
        self.is_stopping = False
        self._is_finishing = False
        self._requested = deque()
        self.primary = Primary(self, self.loop, cluster, self.log, self.cfg.graceful_timeout, QUEUE_LIMIT)
        self.journal = attach_journal(self.primary)
        set_log(self.log)
        self.log_writer = log_files.log_writer_of(self.log)
        self.log_writer.begin()
        self.log_probe = LogProbe()
        self.background = Background(self._background_failed)
        allow_once()
        forking.register(self)
        signals.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        self.upgrade = Upgrade(self)
        self.reloader = Reloader(self)
        if self.is_supervised:
            process.serve_under_gunicorn({*self.SIGNALS, signals.SIGCHLD, signals.SIGABRT})
        cluster.become_primary(self.primary)
        self.state_folder = self._state_folder()
        ready: Moment = "listening" if self.is_supervised else "joined"
        self.exchange = share(self.primary, self.log, self.state_folder, self.is_own_origin, ready)
        self._seat_helpers()
        scale, end_signal = (self.scale, signals.SIGQUIT) if self.is_supervised else (None, signals.SIGTERM)
        self.desk = Desk(cluster, scale, end_signal)
        self.operators = Operators(self)
        under_test.enter_primary(self.loop, self.desk)

    def _state_folder(self) -> StateFolder:
        """Return the folder that the old master has, if one has started this; another one of its own."""
        path = os.environ.pop(STATE_VARIABLE, None)
        self.cfg.env_orig.pop(STATE_VARIABLE, None)
        user = (self.cfg.uid, self.cfg.gid) if self.is_supervised else None
        folder = StateFolder(path if self.upgrade.old_master else None, user)
        if path:
            folder.hold_if_made()
        atexit.register(folder.leave)
        return folder

    def is_own_origin(self, origin: Origin) -> bool:
        """Whether what is registered from there is the primary's, and not that of an application that is preloaded."""
        return not self.is_supervised or origin in (None, "__main__", config_module(self.cfg))

    def _seat_helpers(self) -> None:
        loop, log, roster, registry = self.loop, self.log, self.roster, self.primary.registry
        self.judge = Judge(self, self.reloader, self.upgrade)
        self.limits = Limits(loop, log, roster, self.kill_worker)
        self.recycler = Recycler(loop, roster, log, self.wakeup)
        self.ledger = Ledger()
        self.primary.dealer.count_by(self.ledger.closed, self.ledger.answered, self.ledger.number_of_closed)
        self.dealing = DealingRules(self)
        self.dealing.apply()
        waiting = self._waiting_connections
        in_flight = self.ledger.in_flight
        self.health = Health(
            loop, log, roster, registry, self.kill_worker, waiting, in_flight, warns_unasked=self.is_supervised
        )
        pressure = Pressure(loop, self.primary.dealer)
        self.exits = Exits(self)
        self.board = StatusBoard(self, self.judge, self.reloader, self.upgrade, pressure, self.exits)
        self.board.numbers = self.ledger
        self.status_keeper = StatusKeeper(self, self.upgrade, self.board, self.background)

    def _waiting_connections(self) -> int:
        return self.primary.dealer.waiting_connections()

    def _background_failed(self, error: BaseException) -> None:
        self.loop.call_soon_threadsafe(partial(self.log.error, "A job in the background failed", exc_info=error))

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
                served.get(id(listener)) or self.primary.dealer.add(listener.sock, listener.FAMILY)
                for listener in self.LISTENERS
            ]
            self.primary.dealer.run_beside()

    # --- keeping the number of workers ---------------------------------------------------------

    def manage_workers(self) -> None:
        """Replaces gunicorn's: start what is missing, retire what is too many once others listen.

        It reaps as well: in a primary that a user has monkey-patched, gevent takes SIGCHLD for itself.
        """
        self.log_writer.follow()
        self.reap_workers()
        if self.starts_no_more:
            return
        if not self.has_channels:
            self.give_up_requested("a reload changed the worker class")
        self.dealing.turn()
        self.reloader.turn()
        self.recycler.turn()
        self.make_room_for_requested()
        self.judge.look()
        step = self._next_step()
        for pid in self.roster.pids_of(self.reloader.may_retire(step.retire)):
            self.kill_worker(pid, signals.SIGTERM)
        self.spawn_workers()
        self.upgrade.tell_if_ready()
        self.limits.turn(settings_in_force().boot_timeout, self.num_workers)
        self.judge.turn()
        self.exits.turn()
        self.status_keeper.turn()
        self.operators.turn()
        self.service.turn()
        report_workers(self)

    def spawn_workers(self) -> None:
        """Replaces gunicorn's, which sleeps after each fork."""
        missing = self._next_step().start
        for _ in range(min(missing, self.judge.allowed()) if missing else 0):
            if self.spawn_worker() is None:
                return  # logged; tried again on a later turn

    def _next_step(self) -> Step:
        target = self.num_workers
        return self.roster.next_step(target, settings_in_force().bounds(target))

    def spawn_worker(self) -> int | None:
        """Extends gunicorn's: the worker is born with channels, and TERM cannot fall into the gap."""
        if not self.has_channels:
            pid: int | None = super().spawn_worker()
            handle = None
        else:
            try:
                handle = self.next_requested()
            except OSError as error:
                self.log.error("Could not start a worker: %s. Trying again.", error)
                return None
            self.place(handle)
            pid = forking.fork_worker(self, handle, super().spawn_worker)
        if pid is not None:
            self.roster.add(self.worker_age, pid, handle, time.monotonic())
        return pid

    def let_go(self, worker: WorkerHandle | None) -> ChildEnds | None:
        """In a forked child: leave what is the primary's; return the ends of ``worker``, if it is to be that."""
        self.log_writer.abandon()
        self.log_probe.abandon()
        self.background.abandon()
        self.operators.abandon()
        self.upgrade.abandon()
        self.reloader.abandon()
        self.health.abandon(worker)
        self.state_folder.abandon()
        ends = self.primary.in_child(worker)
        cluster.become_worker(None)
        if ends is not None:
            process.forget(CONFIG_MODULE)  # the primary's
        journal, self.journal = self.journal, None
        if ends is not None and journal is not None:  # a new master inherits the descriptor
            journal.close()
        return ends

    def kill_worker(self, pid: int, sig: int) -> None:
        """Extends gunicorn's: a worker that is told to end gets no further connection, and hears it twice.

        By the signal first: one that ends because of the message would never call the application's own handler.
        """
        entry = self.roster.with_pid(pid)
        is_first = entry is not None and sig in _ENDING_SIGNALS and self._tell_to_end(entry)
        if entry is not None and sig == signals.SIGKILL:
            entry.way_out.was_killed = True
        super().kill_worker(pid, sig)
        if is_first and sig == signals.SIGTERM and entry is not None and entry.handle is not None:
            self.primary.ask_to_leave(entry.handle)

    def _tell_to_end(self, entry: WorkerEntry) -> bool:
        """Deal it nothing more and limit its time; return whether it was not told before."""
        is_first = entry.way_out.tell()
        if entry.handle is not None:
            self.primary.retire(entry.handle)
        if is_first and not self.is_stopping:
            self.limits.limit_end(entry, self.cfg.graceful_timeout, "graceful_timeout")
        return is_first

    def murder_workers(self) -> None:
        """Replaces gunicorn's, which ends a silent worker before anybody knows what it was doing."""
        self.health.murder(self.WORKERS, self.timeout)

    def reap_workers(self) -> None:
        """Replaces gunicorn's, which throws away the exit status that the ``exit`` event reports."""
        try:
            reaping.reap(self)
        except SystemExit as error:
            self._exit_in_order(error)

    # --- reload and stop -----------------------------------------------------------------------

    def reload(self) -> None:
        """Replaces gunicorn's, which waits for the old workers with nobody accepting."""
        self.service.begin_reload()
        allow_once()
        if self.reloader.begin():
            self.judge.retry_now()
            self.manage_workers()

    def reexec(self) -> None:
        """Extends gunicorn's: the new master says when it is ready."""
        self.upgrade.begin(super().reexec)

    def handle_term(self) -> None:
        """Extends gunicorn's: not before the new master of an upgrade is ready."""
        if not self.upgrade.holds_term():
            super().handle_term()

    def handle_ttin(self) -> None:
        """Extends gunicorn's: who asks for a worker wants it now."""
        self.judge.retry_now()
        super().handle_ttin()

    def halt(self, reason: str | None = None, exit_status: int = 0) -> None:
        """Extends gunicorn's: ``process`` emits ``exit``."""
        try:
            super().halt(reason, exit_status)
        except SystemExit as error:
            raise SystemExit(process.ended(exit_code_of(error))) from None

    def _start_control_server(self) -> None:
        """Replaces gunicorn's, whose thread holds up each fork; ``operators`` have the socket, from the start."""

    def reopen_own_logs(self) -> None:
        """Open the log files of this process again, and tell nobody."""
        log_files.reopen_own(self)

    def handle_usr1(self) -> None:
        """Replaces gunicorn's, which waits where a disk hangs."""
        log_files.reopen(self)

    def stop(self, graceful: bool = True) -> None:
        """Replaces gunicorn's, which sleeps and drops connections that the kernel has completed."""
        if not self.is_stopping:
            self.service.stop()
        if not self.upgrade.serves_on:
            self.primary.close_idle()
        stopping.stop(self, graceful, is_alone=self.upgrade.is_alone)
        self.finish_files()

    def finish_files(self) -> None:
        """The server has ended: remove what says that it runs, and wait a little for the disk."""
        self.status_keeper.close()
        self.operators.close()
        self.background.finish(_LAST_SECONDS)
        if self.journal is not None:
            self.journal.finish()


def adopt(arbiter: _Base) -> None:
    """Turn an arbiter into a cluster arbiter; its own class, whatever it is, stays the base."""
    if isinstance(arbiter, ClusterArbiter):
        return
    stock = type(arbiter)
    arbiter.__class__ = type("ClusterArbiter", (ClusterArbiter, stock), {"__module__": stock.__module__})
    arbiter.become_cluster_arbiter()
    arbiter.log.info("nodecluster-compat %s, %s", __version__, in_force())
    arbiter.service = Service(
        arbiter.loop, arbiter.roster, arbiter.upgrade, arbiter.board.outline, arbiter.is_degraded, arbiter.cfg.env_orig
    )
    arbiter.serve_listeners()
    arbiter.operators.begin()
    if not cluster.settings:
        cluster.setup_primary()
