"""Turn gunicorn's arbiter into a cluster arbiter: it waits in our loop and leaves each task to a helper of this folder.

Theory of operation
-------------------
:func:`adopt` turns a running arbiter into a cluster arbiter before its first fork (see ``install``); what that is made
of, ``setting_up`` has.  From then on gunicorn's main loop is unchanged, but what it waits in is ours, and whatever
used to sleep or wait (``reload``, ``stop``, ``spawn_workers``) turns the same loop instead, so connections, messages
and events flow all the time.

Everything here runs on the main thread, except :meth:`ClusterArbiter.wakeup`, which gunicorn's control server
calls from its own.  A forked worker leaves through ``sys.exit`` *up this stack*: nothing here may use ``finally``
around a fork.
"""

from __future__ import annotations

import signal as signals
import time
from typing import TYPE_CHECKING, Final

from ...base.exit_code import exit_code_of
from ...base.native import in_force
from ...base.version import __version__
from ...machine.said_once import allow_once
from ...machine.unpaced import send_unpaced
from ...operations.metrics.ledger import Ledger
from ...roles.cluster import SCHED_RR, cluster
from ...roles.process import process
from ...roles.worker_handle import WorkerEntry
from . import forking, log_files, reaping, stopping
from .configuration import CONFIG_MODULE
from .current_settings import settings_in_force
from .exit_history import ExitHistory
from .health import Health
from .hosting import Hosting
from .listening_sockets import is_given
from .main_loop import MainLoop
from .operators import Operators
from .recycler import Recycler
from .service import Service
from .setting_up import SettingUp
from .statsd_metrics import report_workers

if TYPE_CHECKING:
    from collections.abc import Mapping

    from gunicorn.arbiter import Arbiter as _Base

    from ...base.records import ServedAddress
    from ...lifecycle.steps import Step
    from ...roles.worker_handle import ChildEnds, WorkerHandle
    from ..gunicorn_types import GunicornLog, ListeningSocket
else:
    _Base = object  # the real base is the class of the arbiter that is adopted

__all__ = ["ClusterArbiter", "adopt"]

_LAST_SECONDS: Final = 2.0  # for the disk, before the server ends
_ENDING_SIGNALS: Final = frozenset({signals.SIGTERM, signals.SIGQUIT, signals.SIGINT})


class ClusterArbiter(SettingUp, Hosting, MainLoop, _Base):  # type: ignore[misc]  # gunicorn has no type hints
    """A mixin for gunicorn's :class:`~gunicorn.arbiter.Arbiter`; see the module for how it gets in place."""

    pid: int
    log: GunicornLog
    recycler: Recycler
    exits: ExitHistory
    health: Health
    ledger: Ledger
    service: Service
    operators: Operators
    LISTENERS: list[ListeningSocket]

    def serve_listeners(self, known: Mapping[int, ServedAddress | None] | None = None) -> None:
        """Accept on the listeners for the workers, unless they accept for themselves.

        Args:
            known: how the former listeners are served, by the ``id()`` of gunicorn's socket object; a value is ``None``
                where workers accept for themselves.  ``None`` when the server starts.
        """
        are_inherited = known is None and bool(self.systemd or self.master_pid)
        known = known or {}
        for listener in self.LISTENERS:
            listener.sock.set_inheritable(False)  # by what a handler starts; a new master's are, see Upgrade
            if not (are_inherited or id(listener) in known or is_given(listener, self.cfg)):
                send_unpaced(listener.sock)
        if cluster.freeze_policy() == SCHED_RR:
            self.served = [
                known.get(id(listener)) or self.primary.dealer.add(listener.sock, listener.FAMILY)
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

    def abandon(self, worker: WorkerHandle | None) -> ChildEnds | None:
        """In a forked child: let go of what is the primary's; return the ends of ``worker``, if it is that."""
        self.log_writer.abandon()
        self.log_probe.abandon()
        self.background.abandon()
        self.operators.abandon()
        self.upgrade.abandon()
        self.reloader.abandon()
        self.health.abandon(worker)
        self.state_folder.abandon()
        ends = self.primary.abandon(worker)
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
