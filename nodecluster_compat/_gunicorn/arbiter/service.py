"""Tell systemd of the server: ready, reloading, stopping, its status, and signs of life.

gunicorn says ``READY=1`` when its sockets are bound, before any worker is forked.  Here, where :func:`hold_back_ready`
keeps that one from going out:

* ``READY=1`` when the first worker listens.  Not when all do: a service that answers must not be ended by the start
  time-out because one of its workers does not boot.
* ``EXTEND_TIMEOUT_USEC=`` until then, and while it reloads: an application may take longer to import than the unit
  allows.  Not while the cluster is hopeless.
* ``RELOADING=1`` before the configuration is read, ``READY=1`` when the reload has ended, however it has.
* ``STOPPING=1`` when the server begins to end.
* ``STATUS=`` whenever that one line changes.
* ``WATCHDOG=1`` from the primary's loop, so that it stops with the loop; and not while the cluster is hopeless: a crash
  loop with nobody left that serves.  Then there is nothing to lose, and the manager's restart is another attempt.
* Of two masters on the way to an upgrade one speaks.  ``MAINPID=`` hands over, and back; it can only be said by the one
  that is the main process (``NotifyAccess=main``).

Workers speak for nobody: they do not have the manager's address in their environment.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, MutableMapping
from typing import TYPE_CHECKING, Final

from gunicorn import systemd as gunicorn_systemd

from ...machine.systemd import Notifier, drop_watchdog_pid, manager_of

if TYPE_CHECKING:
    from ...base.loop import Loop
    from ...roles.status import ClusterStatus
    from ...roles.worker_handle import WorkerRoster
    from .upgrading import Upgrade

__all__ = ["Service", "hold_back_ready"]

_SHARE: Final = 0.4  # of the manager's patience, between two signs of life: sd_watchdog_enabled(3) says half
_EXTENSION: Final = 90.0  # as long as systemd waits unless it is told otherwise
_BETWEEN_EXTENSIONS: Final = 10.0
_MOST_CHARACTERS: Final = 200


def hold_back_ready() -> None:
    """Replaces gunicorn's ``systemd.sd_notify``, which it calls once, before there is a worker."""
    gunicorn_systemd.sd_notify = _not_yet


def _not_yet(state: str, logger: object, unset_environment: bool = False) -> None:
    """Say nothing: :class:`Service` will."""


class Service:
    """Speaks with the manager of one arbiter.

    Args:
        loop: the arbiter's.
        roster: its workers.
        upgrade: says which of two masters speaks.
        status: returns how the cluster is.
        is_degraded: whether workers keep failing.
        inherited: the environment of a new master.
    """

    def __init__(
        self,
        loop: Loop,
        roster: WorkerRoster,
        upgrade: Upgrade,
        status: Callable[[], ClusterStatus],
        is_degraded: Callable[[], bool],
        inherited: MutableMapping[str, str],
    ) -> None:
        self._loop = loop
        self._roster = roster
        self._upgrade = upgrade
        self._cluster_status = status
        self._is_degraded = is_degraded
        self._pid = os.getpid()
        self._manager = manager_of(os.environ, self._pid)
        self._notifier = None if self._manager is None else Notifier(self._manager.address)
        self._is_ready = self._is_reloading = False
        self._is_extending = self._is_ending = False
        self._was_in_charge = upgrade.is_in_charge
        self._status = ""
        drop_watchdog_pid(os.environ, inherited)
        if self._manager is not None and self._manager.watchdog:
            self._beat_later()
        self._extend()

    # --- what happens --------------------------------------------------------------------------

    def turn(self) -> None:
        """Once a turn of the main loop: tell what has changed."""
        if self._notifier is None:
            return
        self._notifier.flush()
        if self._follow_upgrade():
            self._tell_state(self._cluster_status())

    def begin_reload(self) -> None:
        """The configuration is about to be read."""
        if self._notifier is not None and self._is_ready and self._upgrade.is_in_charge:
            self._is_reloading = True
            now = time.clock_gettime_ns(time.CLOCK_MONOTONIC) // 1000
            self._notifier.send("RELOADING=1", f"MONOTONIC_USEC={now}")
            self._extend()

    def stop(self) -> None:
        """The server begins to end; a new master that is told to end gives the service back to the old one."""
        self._is_ending = True
        if self._notifier is None or not self._follow_upgrade():
            return
        if self._upgrade.old_master:
            self._notifier.send(f"MAINPID={self._upgrade.old_master}")
        else:
            self._notifier.send("STOPPING=1", "STATUS=stopping")

    # --- telling -------------------------------------------------------------------------------

    def _follow_upgrade(self) -> bool:
        """Hand the service over, or take it back; return whether this master speaks for it."""
        assert self._notifier is not None
        before, self._was_in_charge = self._was_in_charge, self._upgrade.is_in_charge
        if before and not self._was_in_charge:
            self._notifier.send(f"MAINPID={self._upgrade.new_master}")
        elif not before and self._was_in_charge and self._is_ready:
            self._notifier.send(f"MAINPID={self._pid}", "READY=1")
            self._status = ""
        return self._was_in_charge

    def _tell_state(self, status: ClusterStatus) -> None:
        assert self._notifier is not None
        lines: list[str] = []
        if not self._is_ready and (self._roster.has_listened or not status.target):
            self._is_ready = True
            lines.append("READY=1")
        elif self._is_reloading and self._roster.rollout is None:
            self._is_reloading = False
            lines.append("READY=1")
        line = _described(status)
        if line != self._status:
            self._status = line
            lines.append(f"STATUS={line}")
        if lines:
            self._notifier.send(*lines)

    # --- time to start and to reload -----------------------------------------------------------

    def _extend(self) -> None:
        """Ask for more time, now and again, as long as the service starts or reloads."""
        if self._notifier is None or self._is_extending or not self._is_under_way():
            return
        self._is_extending = True
        self._loop.call_later(_BETWEEN_EXTENSIONS, self._extend_again)
        if self._upgrade.is_in_charge and not self._is_hopeless():
            self._notifier.send(f"EXTEND_TIMEOUT_USEC={_EXTENSION * 1_000_000:.0f}")

    def _extend_again(self) -> None:
        self._is_extending = False
        self._extend()

    def _is_under_way(self) -> bool:
        return not self._is_ending and (self._is_reloading or not self._is_ready)

    # --- the watchdog --------------------------------------------------------------------------

    def _beat_later(self) -> None:
        assert self._manager is not None
        self._loop.call_later(self._manager.watchdog * _SHARE, self._beat)

    def _beat(self) -> None:
        self._beat_later()
        if self._notifier is not None and self._upgrade.is_in_charge and not self._is_hopeless():
            # With the status: a new master's first one may have come before the manager knew it.
            self._notifier.send("WATCHDOG=1", *([f"STATUS={self._status}"] if self._status else []))

    def _is_hopeless(self) -> bool:
        return self._is_degraded() and not self._roster.listening


def _described(status: ClusterStatus) -> str:
    """Return the status in one line."""
    said = [f"{status.state}: {status.listening} of {status.target} workers listen"]
    blocked = sum(worker.health in ("blocked", "stopped") for worker in status.workers)
    if blocked:
        said.append(f"{blocked} blocked")
    saturated = sum(worker.health == "saturated" for worker in status.workers)
    if saturated:
        said.append(f"{saturated} saturated")
    if status.state == "degraded":
        said.append(f"the last fault: {status.last_fault}")
    if status.reload is not None and status.reload.state == "failed":
        said.append(f"reload {status.reload.number} failed: {status.reload.reason}")
    return " ".join("; ".join(said).split())[:_MOST_CHARACTERS]
