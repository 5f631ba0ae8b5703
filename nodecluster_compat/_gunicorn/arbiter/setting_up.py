"""Set a cluster arbiter up: its loop, its primary, and the helpers to whom it leaves each task.

A part of the arbiter in a file of its own, which runs once, before the first fork.
"""

from __future__ import annotations

import atexit
import os
import signal as signals
from collections import deque
from functools import partial
from typing import TYPE_CHECKING, Final

from ... import under_test
from ...base.handler_calls import set_log
from ...base.loop import Loop
from ...base.variables import STATE
from ...machine.background import Background
from ...machine.children import ForgottenChildren
from ...machine.said_once import allow_once
from ...machine.state_folder import StateFolder
from ...operations.desk import Desk
from ...operations.journal import attach_journal
from ...operations.metrics.ledger import Ledger
from ...roles.cluster import cluster
from ...roles.primary import Primary
from ...roles.process import process
from ...roles.worker_handle import WorkerRoster
from ...sharing.attach import share
from ..log_lines import keep_lines_whole
from . import forking, log_files
from .configuration import config_module
from .copy_on_write import keep_uncounted, prepare_for_workers
from .dealing_rules import DealingRules
from .exit_history import ExitHistory
from .health import Health
from .judging import Judge
from .log_probe import LogProbe
from .operators import Operators
from .pressure import Pressure
from .recycler import Recycler
from .reloading import Reloader
from .status_board import StatusBoard
from .status_keeper import StatusKeeper
from .upgrading import Upgrade
from .waiting_signals import WaitingSignals
from .worker_limits import WorkerLimits

if TYPE_CHECKING:
    from gunicorn.arbiter import Arbiter as _Base

    from ...base.handler_calls import Origin
    from ...base.records import ServedAddress
    from ...operations.journal import Journal
    from ...roles.worker_handle import WorkerEntry, WorkerHandle
    from ...sharing.verbs import Moment
    from ..gunicorn_types import GunicornWorker
else:
    _Base = object  # the real base is the class of the arbiter that is adopted

__all__ = ["SettingUp"]

QUEUE_LIMIT: Final = 128
"""Accepted connections that wait in the primary, for each listener; beyond it the kernel's backlog holds them."""


class SettingUp(_Base):  # type: ignore[misc]  # gunicorn has no type hints
    """The arbiter as it becomes one; what it is besides comes from the class that this is mixed into."""

    WORKERS: dict[int, GunicornWorker]
    served: list[ServedAddress]
    spawning: WorkerHandle | None
    exiting: WorkerEntry | None
    journal: Journal | None
    _requested: deque[WorkerHandle]

    def become_cluster_arbiter(self) -> None:
        """Set up loop, primary and listeners; called once, before the first fork."""
        keep_lines_whole(self.log)
        prepare_for_workers(self.worker_class, self.cfg, self.log)
        keep_uncounted()
        self._begin_state()
        self.primary = Primary(self, self.loop, cluster, self.log, self.cfg.graceful_timeout, QUEUE_LIMIT)
        self.journal = attach_journal(self.primary)
        self._begin_logging()
        self.background = Background(self._background_failed)
        allow_once()
        forking.register(self)
        signals.set_wakeup_fd(self.loop.wakeup_fd, warn_on_full_buffer=False)
        self._begin_cluster()
        self._seat_helpers()
        self._seat_operators()

    def _begin_state(self) -> None:
        self.WORKERS = dict(self.WORKERS)  # gunicorn's is a class attribute, shared by every arbiter
        self.loop = Loop(self.log)
        self.waiting_signals = WaitingSignals()
        self.roster = WorkerRoster()
        self.served = []
        self.spawning = self.exiting = None
        self.forgotten = ForgottenChildren()
        self.is_stopping = False
        self._is_finishing = False
        self._requested = deque()

    def _begin_logging(self) -> None:
        set_log(self.log)
        self.log_writer = log_files.log_writer_of(self.log)
        self.log_writer.begin()
        self.log_probe = LogProbe()

    def _begin_cluster(self) -> None:
        """Be the primary to the application, and to those who publish and ask."""
        self.upgrade = Upgrade(self)
        self.reloader = Reloader(self)
        if self.is_supervised:
            process.serve_under_gunicorn({*self.SIGNALS, signals.SIGCHLD, signals.SIGABRT})
        cluster.become_primary(self.primary)
        self.state_folder = self._state_folder()
        ready: Moment = "listening" if self.is_supervised else "joined"
        self.exchange = share(self.primary, self.log, self.state_folder, self.is_own_origin, ready)

    def _seat_operators(self) -> None:
        scale, end_signal = (self.scale, signals.SIGQUIT) if self.is_supervised else (None, signals.SIGTERM)
        self.desk = Desk(cluster, scale, end_signal)
        self.operators = Operators(self)
        under_test.enter_primary(self.loop, self.desk)

    def _state_folder(self) -> StateFolder:
        """Return the folder that the old master has, if one has started this; another one of its own."""
        path = os.environ.pop(STATE, None)
        self.cfg.env_orig.pop(STATE, None)
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
        self.limits = WorkerLimits(loop, log, roster, self.kill_worker, self.health.examiner.ask)
        pressure = Pressure(loop, self.primary.dealer)
        self.exits = ExitHistory(self)
        self.board = StatusBoard(self, self.judge, self.reloader, self.upgrade, pressure, self.exits)
        self.board.numbers = self.ledger
        self.status_keeper = StatusKeeper(self, self.upgrade, self.board, self.background)

    def _waiting_connections(self) -> int:
        return self.primary.dealer.waiting_connections()

    def _background_failed(self, error: BaseException) -> None:
        self.loop.call_soon_threadsafe(partial(self.log.error, "A job in the background failed", exc_info=error))
