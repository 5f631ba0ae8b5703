"""Upgrade on USR2: start a new master by gunicorn's ``Arbiter.reexec``, and hear from it when it is ready.

Extends gunicorn's.  The two masters share a pipe.  The new one writes into it when as many of its workers listen as
there should be; if one of them cannot boot before that, it ends with gunicorn's exit code, and the pipe closes.

The old master serves all the while.  A TERM that reaches it before the new one is ready is part of somebody's
upgrade script that did not wait, so it is held: carried out when the new master is ready, dropped when that could not
boot.  When the new master was told to end, too, somebody stops the whole service, and the TERM is carried out.
A second TERM is not held, nor are INT and QUIT.
"""

from __future__ import annotations

import os
import sys
import traceback
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final, Literal, Protocol, TypeAlias

from ...base.variables import READY_FD, STATE
from ...machine.state_folder import StateFolder
from ...roles.cluster import cluster

if TYPE_CHECKING:
    from ...base.records import ExitStatus
    from .seat import Seat

__all__ = ["Upgrade"]

_EXEC_FAILED: Final = 1

UpgradeState: TypeAlias = Literal["pending", "ready", "failed"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose program is upgraded.

        Attributes:
            reexec_pid: of the new master that it started, or 0.
            master_pid: of the old master that started it, or 0.
            systemd: whether systemd holds the listening sockets.
            state_folder: what both masters have.
        """

        reexec_pid: int
        master_pid: int
        systemd: bool
        state_folder: StateFolder

        def finish(self) -> None:
            """End the server, in order."""


class Upgrade:
    """This master's part in an upgrade: the old one's, the new one's, or none."""

    def __init__(self, arbiter: _Seat) -> None:
        self._arbiter = arbiter
        self.state: UpgradeState | None = None
        self._child = 0
        self._reading = -1
        self._held_term = False
        self._telling = self._inherited()

    @property
    def old_master(self) -> int:
        """The pid of the master that started this one; 0 when none did, or it has gone."""
        return self._arbiter.master_pid

    @property
    def new_master(self) -> int:
        """The pid of the master that this one started; 0 without one."""
        return self._arbiter.reexec_pid

    # --- the new master ------------------------------------------------------------------------

    @property
    def is_candidate(self) -> bool:
        """Whether an old master waits for this one."""
        return self._telling >= 0

    @property
    def is_in_charge(self) -> bool:
        """Of two masters on the way to an upgrade one speaks for the server: the new one as soon as it is ready."""
        return not self.is_candidate and self.state != "ready"

    @property
    def is_alone(self) -> bool:
        """Whether nobody else accepts on the listening sockets: no other master, and not systemd."""
        arbiter = self._arbiter
        return arbiter.reexec_pid == arbiter.master_pid == 0 and not arbiter.systemd

    @property
    def serves_on(self) -> bool:
        """Whether another master serves when this one has ended."""
        return bool(self._arbiter.reexec_pid or self._arbiter.master_pid)

    def _inherited(self) -> int:
        value = os.environ.pop(READY_FD, "")
        self._arbiter.cfg.env_orig.pop(READY_FD, None)
        if not value.isdigit() or not self._arbiter.master_pid:
            return -1
        try:
            os.set_inheritable(int(value), False)
        except OSError:
            return -1
        return int(value)

    def tell_if_ready(self) -> None:
        """Once a turn: tell the old master when there are enough workers."""
        if self.is_candidate and len(self._arbiter.roster.listening) >= self._arbiter.num_workers:
            with suppress(OSError):  # the old master has gone
                os.write(self._telling, b"ready")
            os.close(self._telling)
            self._telling = -1

    def abandon(self) -> None:
        """In a forked child: this is the master's."""
        for fd in (self._telling, self._reading):
            if fd >= 0:
                os.close(fd)

    # --- the old master ------------------------------------------------------------------------

    def begin(self, reexec: Callable[[], None]) -> None:
        """Start a new master by gunicorn's own ``reexec``."""
        arbiter = self._arbiter
        if arbiter.reexec_pid or arbiter.master_pid:
            reexec()  # which refuses, in its own words
            return
        reading, writing = os.pipe()
        self._reexec(reexec, writing)
        os.close(writing)
        if not self.new_master:
            os.close(reading)
            return
        self._child, self._reading, self.state = self.new_master, reading, "pending"
        arbiter.loop.add_reader(reading, self._heard)

    def _reexec(self, reexec: Callable[[], None], pipe: int) -> None:
        """Start it with the listeners, the pipe by which it says that it is ready, and the state of the cluster."""
        arbiter = self._arbiter
        self._let_inherit(pipe, inheritable=True)
        arbiter.cfg.env_orig.update({READY_FD: str(pipe), STATE: arbiter.state_folder.path})
        try:
            reexec()
        except BaseException:
            if os.getpid() != arbiter.pid:
                # A child that could not become another program must not go on as a second master.
                traceback.print_exc()
                sys.stderr.flush()
                os._exit(_EXEC_FAILED)
            arbiter.log.exception("Could not start a new master")
        self._let_inherit(pipe, inheritable=False)
        for name in (READY_FD, STATE):
            del arbiter.cfg.env_orig[name]

    def _let_inherit(self, pipe: int, inheritable: bool) -> None:
        for fd in (pipe, *(listener.fileno() for listener in self._arbiter.LISTENERS)):
            os.set_inheritable(fd, inheritable)

    def holds_term(self) -> bool:
        """TERM came: whether it has to wait for the new master."""
        if self.state != "pending" or self._held_term:
            return False
        self._held_term = True
        self._arbiter.log.warning(
            "TERM waits until the new master (pid:%s) is ready. Send it again to end this one at once.", self._child
        )
        return True

    def forget(self) -> None:
        """The server ends by itself: nothing is held."""
        self._held_term = True

    def _heard(self) -> None:
        said = os.read(self._reading, 16)
        self._arbiter.loop.remove_reader(self._reading)
        os.close(self._reading)
        self._reading = -1
        if said:
            self._arbiter.log.info(
                "The new master (pid:%s) is ready. TERM to this one completes the upgrade, TERM to that one undoes it.",
                self._child,
            )
            self._decided("ready", carry_out=True)

    def ended(self, status: ExitStatus) -> None:
        """The new master was reaped."""
        if self.state == "pending":
            self._arbiter.log.error(
                "The new master (pid:%s) ended before it was ready (%s): this one serves on.",
                self._child,
                status.signal or f"code {status.code}",
            )
            self._decided("failed", carry_out=not status.code)
        self.state = None if self.state == "ready" else self.state

    def _decided(self, state: UpgradeState, carry_out: bool) -> None:
        self.state = state
        held, self._held_term = self._held_term, False
        self._arbiter.loop.call_soon(cluster.emit, f"upgrade_{state}", self._child)
        if held and carry_out:
            self._arbiter.finish()
        elif held:
            self._arbiter.log.error("The TERM that waited for the new master is dropped: it could not boot")
