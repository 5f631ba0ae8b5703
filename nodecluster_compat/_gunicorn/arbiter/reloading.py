"""Reload on HUP and ``cluster.reload()``: gunicorn's ``Arbiter.reload``, but old workers stay until new ones listen.

Replaces gunicorn's method, which forks the new workers, tells the old ones to end at once, and then stands still
until they have; and which ends the server when the configuration or the application does not load.

Theory of operation
-------------------
A reload is a transaction in two steps.  *Loading* the configuration is one call: it is applied as a whole, or put
back as a whole (``configuration``).  *Rolling out* takes as long as the workers take to boot; ``manage_workers``
drives it, one :meth:`Reloader.turn` a turn, with the arithmetic of ``steps.roll``.  The former configuration
is kept until every worker is of the new generation, so that a new generation that cannot boot is undone as well:
its workers end, the old ones stay, and settings, handlers, timers and sockets are the former ones.

The former workers serve until successors listen, on their own sockets if ``bind`` has changed: those sockets are
closed when the last old worker goes, not before what the kernel has completed on them is handed over.

Another reload that comes meanwhile supersedes this one.  What it puts back, should it fail, is what was in force
before the first of them.
"""

from __future__ import annotations

import signal as signals
import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final, Protocol

from ...errors import ConfigurationNotLoaded
from ...lifecycle.rollout import ReloadReport
from ...roles.cluster import cluster
from . import configuration

if TYPE_CHECKING:
    from ...lifecycle.steps import Member
    from .configuration import ConfiguredSeat, Savepoint

__all__ = ["Reloader"]

_HAND_OVER_SHARE: Final = 0.5
"""Of ``graceful_timeout``: how long the last old worker stays for the connections of a socket that goes."""

Callback = Callable[[ReloadReport], Any]


if TYPE_CHECKING:

    class _Seat(ConfiguredSeat, Protocol):
        """The arbiter, which reloads."""

        def kill_worker(self, pid: int, sig: int) -> None:
            """Send a signal to a worker."""


class Reloader:
    """The reloads of one arbiter, one at a time."""

    def __init__(self, arbiter: _Seat) -> None:
        self.last_report: ReloadReport | None = None
        self.outcomes: Counter[str] = Counter(succeeded=0, failed=0, superseded=0)
        self._arbiter = arbiter
        self._count = 0
        self._savepoint: Savepoint | None = None
        self._asked: list[Callback] = []  # by cluster.reload(), not begun yet
        self._waiting: list[Callback] = []  # for the end of the rollout
        self._hand_over_until: float | None = None

    # --- beginning -----------------------------------------------------------------------------

    def ask(self, callback: Callback | None) -> None:
        """``cluster.reload()``: the callback is the next reload's."""
        if callback is not None:
            self._asked.append(callback)

    def begin(self) -> bool:
        """Load the configuration and begin a new generation; return whether there is one to start."""
        arbiter, roster = self._arbiter, self._arbiter.roster
        if hasattr(arbiter, "_stats"):  # gunicorn 25.1 and later
            arbiter._stats["reloads"] += 1
        self._count += 1
        callbacks, self._asked = self._asked, []
        before = arbiter.num_workers
        try:
            savepoint = configuration.load(arbiter)
        except ConfigurationNotLoaded as error:
            self._tell(ReloadReport(self._count, "failed", str(error)), callbacks)
            return False
        if roster.rollout is not None:
            self._supersede()
        self._savepoint = self._savepoint or savepoint
        self._waiting = callbacks
        self._hand_over_until = None
        self.last_report = roster.begin_rollout(self._count, before, time.monotonic()).report
        arbiter.log.info("Reload %s: starting generation %s", self._count, roster.generation)
        return True

    def _supersede(self) -> None:
        roster = self._arbiter.roster
        assert roster.rollout is not None
        report = roster.rollout.advance("replaced", time.monotonic(), "another reload came before its end")
        callbacks, self._waiting = self._waiting, []
        for entry in roster.booting:
            if entry.generation == roster.generation:
                self._end_worker(entry.pid)
        self._tell(report, callbacks)

    # --- going on ------------------------------------------------------------------------------

    def turn(self) -> None:
        """Once a turn of the main loop: find out whether the rollout is complete."""
        arbiter, roster = self._arbiter, self._arbiter.roster
        if roster.rollout is not None and roster.is_rolled_out(arbiter.num_workers):
            report = roster.rollout.advance("all", time.monotonic())
            roster.rollout = None
            self._close_former_listeners()
            self._end(report)

    def may_retire(self, retire: tuple[Member, ...]) -> tuple[Member, ...]:
        """Return those of the workers to retire that may go now.

        The last ones that serve a socket that goes stay until its connections are handed over.
        """
        roster = self._arbiter.roster
        going = self._going_listeners()
        if roster.rollout is None or not going:
            return retire
        leaving = {member.age for member in retire}
        if any(entry.age not in leaving for entry in roster.listening if entry.generation != roster.generation):
            return retire
        return () if self._is_handing_over(going) else retire

    def fail(self, reason: str) -> None:
        """The new generation cannot boot: undo it.

        With no old worker left to serve, or when the server ends, there is nothing to go back to: the new
        configuration stays, and the judge goes on trying.
        """
        arbiter, roster = self._arbiter, self._arbiter.roster
        assert roster.rollout is not None
        report = roster.rollout.advance("failed", time.monotonic(), reason)
        if roster.has_old_listeners() and not arbiter.is_stopping:
            assert self._savepoint is not None
            same_sockets = self._savepoint.listeners == arbiter.LISTENERS
            for pid in roster.give_up_rollout(self._savepoint.num_workers, keeps_new=same_sockets):
                self._end_worker(pid)
            self._savepoint.restore()
        else:
            roster.rollout = None
            self._close_former_listeners()
        self._end(report)

    def _end_worker(self, pid: int) -> None:
        """Tell a worker of a generation that is given up to end; one that still boots has nothing to finish."""
        self._arbiter.kill_worker(pid, signals.SIGTERM)
        entry = self._arbiter.roster.with_pid(pid)
        if entry is not None and entry.listening_since is None:
            self._arbiter.kill_worker(pid, signals.SIGKILL)

    # --- listeners that go ---------------------------------------------------------------------

    def _going_listeners(self) -> list[int]:
        if self._savepoint is None:
            return []
        served = self._arbiter.served
        return [one.listener_id for one in self._savepoint.served if one not in served]

    def _is_handing_over(self, going: list[int]) -> bool:
        now, dealer = time.monotonic(), self._arbiter.primary.dealer
        if self._hand_over_until is None:
            self._hand_over_until = now + self._arbiter.cfg.graceful_timeout * _HAND_OVER_SHARE
            for listener_id in going:
                dealer.replace(listener_id)
        waiting = any(dealer.unsettled(listener_id) for listener_id in going)
        return waiting and now < self._hand_over_until

    def _close_former_listeners(self) -> None:
        for listener_id in self._going_listeners():
            self._arbiter.primary.dealer.replace(listener_id)
        self._close_former_sockets()

    def _close_former_sockets(self) -> None:
        for listener in self._savepoint.listeners if self._savepoint is not None else ():
            if listener not in self._arbiter.LISTENERS:
                listener.close()

    def abandon(self) -> None:
        """In a forked child: it has nothing to do with the sockets that go."""
        self._close_former_sockets()

    # --- telling -------------------------------------------------------------------------------

    def _end(self, report: ReloadReport) -> None:
        callbacks, self._waiting = self._waiting, []
        self._savepoint = None
        self._tell(report, callbacks)

    def _tell(self, report: ReloadReport, callbacks: list[Callback]) -> None:
        arbiter = self._arbiter
        self.last_report = report
        self.outcomes[report.state] += 1
        if report.succeeded:
            arbiter.log.info("Reload %s succeeded in %.1f s", report.number, report.seconds)
            arbiter.loop.call_soon(cluster.emit, "reloaded", report)
        else:
            arbiter.log.error("Reload %s %s: %s", report.number, report.state, report.reason)
            arbiter.loop.call_soon(cluster.emit, "reload_failed", report)
        for callback in callbacks:
            arbiter.loop.call_soon(callback, report)
