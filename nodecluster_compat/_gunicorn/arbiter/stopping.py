"""Stop the server on TERM, INT and QUIT: gunicorn's ``Arbiter.stop`` without losing anybody.

Replaces gunicorn's method, which closes the listeners first (resetting the clients that the kernel had already
completed) and then sleeps in steps.  A graceful stop here is:

    1. let nobody connect any more, and accept what the kernel has completed, unless somebody else (a new master,
       systemd) goes on listening;
    2. close the listeners;
    3. turn the loop until every accepted connection is with a worker that took it;
    4. tell the workers to end, and turn the loop until they have, or ``graceful_timeout`` is over;
    5. a moment later, so that they can say what they cut, kill the rest.

Messages and events flow all the time, so ``disconnect`` and ``exit`` are told for every worker.
"""

from __future__ import annotations

import signal as signals
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, Protocol

from ...machine.quiesce import quiesce
from .listening_sockets import close_socket, is_given

if TYPE_CHECKING:
    from ..gunicorn_types import GunicornWorker
    from .operators import Operators
    from .seat import Seat

__all__ = ["stop"]

_FLUSH_SHARE: Final = 0.5  # of graceful_timeout, for step 3
_QUICK_SECONDS: Final = 2.0  # gunicorn's: INT or QUIT during a graceful stop
_KILLED_SECONDS: Final = 5.0
_CUT_SECONDS: Final = 2.0  # after graceful_timeout, for workers that cut what has not ended
_TURN: Final = 0.2


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, which stops.

        Attributes:
            WORKERS: gunicorn's worker objects, by pid.
        """

        WORKERS: dict[int, GunicornWorker]

        operators: Operators

        def turn(self, timeout: float) -> None:
            """Run one turn of the loop."""

        def take_signals(self) -> list[int]:
            """Return the signals that have come."""

        def kill_workers(self, sig: int) -> None:
            """Send a signal to every worker; gunicorn's."""

        def reap_workers(self) -> None:
            """Take note of every child that has ended."""

        def kill_dirty_arbiter(self, sig: int) -> None:
            """Send a signal to the dirty arbiter, where there is one; gunicorn's, from 25 on."""


def stop(arbiter: _Seat, graceful: bool, *, is_alone: bool) -> None:
    """End all workers; returns when they are gone.

    Args:
        arbiter: whose they are.
        graceful: whether they may finish what they have.
        is_alone: whether nobody else accepts on the listening sockets.
    """
    if arbiter.is_stopping:
        return
    arbiter.is_stopping = True
    arbiter.operators.show("stopping")
    stopper = _Stopper(arbiter, graceful)
    stopper.close_listeners(is_alone)
    if graceful:
        stopper.hand_over_connections()
    stopper.end_workers()
    stopper.kill_workers()


class _Stopper:
    def __init__(self, arbiter: _Seat, graceful: bool) -> None:
        self._arbiter = arbiter
        self._quick = not graceful
        self._start = time.monotonic()
        self._limit = self._start + arbiter.cfg.graceful_timeout

    def close_listeners(self, is_alone: bool) -> None:
        """Steps 1 and 2."""
        arbiter = self._arbiter
        takes_backlog = is_alone and not self._quick
        if takes_backlog and arbiter.served:
            for listener in arbiter.LISTENERS:
                if not is_given(listener, arbiter.cfg):
                    quiesce(listener.sock)
        arbiter.primary.dealer.stop_accepting(takes_backlog)
        for listener in arbiter.LISTENERS:
            close_socket(listener, arbiter.cfg, unlink=is_alone and not arbiter.cfg.reuse_port)
        arbiter.LISTENERS = []

    def hand_over_connections(self) -> None:
        """Step 3."""
        arbiter = self._arbiter
        limit = self._start + arbiter.cfg.graceful_timeout * _FLUSH_SHARE
        self._turn_until(lambda: not arbiter.primary.dealer.waiting_connections() or not arbiter.WORKERS, limit)

    def end_workers(self) -> None:
        """Step 4."""
        sig = signals.SIGQUIT if self._quick else signals.SIGTERM
        self._signal_all(sig)
        self._turn_until(self._all_gone, None)
        if not self._quick:
            self._turn_until(self._all_gone, time.monotonic() + _CUT_SECONDS)

    def kill_workers(self) -> None:
        """Step 5."""
        self._quick = True
        for pid in self._arbiter.WORKERS:  # or gunicorn's line alone would blame the kernel
            seconds = time.monotonic() - self._start
            self._arbiter.log.error("Worker (pid:%s) did not end within %.0f s: killed", pid, seconds)
        self._signal_all(signals.SIGKILL)
        self._turn_until(self._all_gone, time.monotonic() + _KILLED_SECONDS)
        self._arbiter.primary.dealer.close()

    def _all_gone(self) -> bool:
        return not self._arbiter.WORKERS and not getattr(self._arbiter, "dirty_arbiter_pid", 0)

    def _signal_all(self, sig: signals.Signals) -> None:
        if getattr(self._arbiter, "dirty_arbiter_pid", 0):
            self._arbiter.kill_dirty_arbiter(sig)
        self._arbiter.kill_workers(sig)

    def _turn_until(self, done: Callable[[], bool], limit: float | None) -> None:
        """Turn the loop until ``done``, at most to ``limit`` (``None``: to the limit of the whole stop)."""
        while not done() and time.monotonic() < (self._limit if limit is None else limit):
            self._arbiter.turn(_TURN)
            self._hurry_if_asked()
            self._arbiter.reap_workers()
            if hasattr(self._arbiter, "reap_dirty_arbiter"):
                self._arbiter.reap_dirty_arbiter()

    def _hurry_if_asked(self) -> None:
        received = self._arbiter.take_signals()
        if self._quick or not {signals.SIGINT, signals.SIGQUIT} & set(received):
            return
        self._arbiter.log.info("Quick shutdown requested")
        self._quick = True
        self._limit = time.monotonic() + _QUICK_SECONDS
        self._signal_all(signals.SIGQUIT)
