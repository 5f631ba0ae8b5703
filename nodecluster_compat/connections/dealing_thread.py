"""Run the dealer's loop: on a thread of its own beside the arbiter, or on the arbiter's loop where there is none.

Theory of operation
-------------------
The thread ends for every fork and begins again after it (``helper_thread``), so a child has one thread and the lock
is free in it.

Should the thread die of a fault of ours, that is said loudly, and the arbiter's loop deals by itself from then on.
It does so from the beginning where nobody calls :meth:`DealingThread.begin`: in tests of one process.

Both threads run Python, so one waits for the other's interpreter lock.  :data:`SWITCH_SECONDS` is how long, where the
arbiter computes; Python's own 5 ms would be waited for at each system call.  Where somebody keeps that lock in C, a
:mod:`~nodecluster_compat.connections.standby` deals.
"""

from __future__ import annotations

import sys
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING, Final, Protocol

from ..base.loop import original
from ..machine.helper_thread import HelperThread

if TYPE_CHECKING:
    from ..base.log import Log
    from ..base.loop import Loop
    from ..base.timers import Timer
    from .dealing_loop import DealingLoop
    from .standby import Standby

__all__ = ["SWITCH_SECONDS", "DealingThread"]

SWITCH_SECONDS: Final = 0.0001
_REST_SECONDS: Final = 0.05

if TYPE_CHECKING:

    class _Offers(Protocol):
        """Deals."""

        standby: Standby

        def arm(self) -> None:
            """See that the loop wakes up for whatever can change something."""


class DealingThread:
    """Runs the dealer's loop on a thread.

    Args:
        loop: the arbiter's.
        log: told, on the arbiter's loop, what goes wrong.
        dealing: the loop that turns here or there.
        offers: what it calls.

    Attributes:
        is_here: whether the arbiter's loop deals.
        is_wanted: whether a thread is to deal, once there is anything to deal; not any more when one has died.
    """

    def __init__(self, loop: Loop, log: Log, dealing: DealingLoop, offers: _Offers) -> None:
        self._loop = loop
        self._log = log
        self._dealing = dealing
        self._offers = offers
        self._thread = HelperThread("dealer", self._deal, dealing.wake, self._died, is_urgent=True)
        self._switch_seconds = sys.getswitchinterval()
        self.is_here = False
        self._is_resting = False
        self.is_wanted = False
        self._told: set[str] = set()
        self._timer: Timer | None = None
        self._deal_here()

    @property
    def is_running(self) -> bool:
        """Whether a thread deals."""
        return self._thread.is_running

    # --- beside the arbiter ----------------------------------------------------------------------

    def begin(self) -> None:
        """Deal on a thread from now on; a no-op if one does."""
        if not self.is_here:
            return
        self.is_here = self._is_resting = False
        self._loop.remove_reader(self._dealing.fileno())
        self._dealing.on_sooner = self._dealing.wake
        sys.setswitchinterval(SWITCH_SECONDS)
        self._thread.start()

    def stop(self) -> None:
        """Deal no more, neither here nor there."""
        self.is_here = self._is_resting = False
        self._thread.stop()

    def abandon(self) -> None:
        """In a forked child: compute as if there had never been a thread."""
        if not self.is_here:
            sys.setswitchinterval(self._switch_seconds)

    def _deal(self) -> None:
        with self._stood_by():
            waits = True
            while not self._thread.is_stopping:
                try:
                    self._dealing.take_turn(waits)
                    waits = True
                except MemoryError as error:  # there may be some again in a moment, and the thread is needed
                    self._rest_beside(error)
                    waits = False  # the turn that failed has armed nothing

    def _rest_beside(self, error: MemoryError) -> None:
        with suppress(MemoryError):
            self._loop.call_soon_threadsafe(self._tell, error)
        original("time", "sleep")(_REST_SECONDS)

    @contextmanager
    def _stood_by(self) -> Iterator[None]:
        standby = self._offers.standby
        try:
            with self._dealing.lock:
                standby.start()
                self._offers.arm()  # for what was noted as the thread ended the last time
                standby.take_snapshot()
            yield
        finally:
            with self._dealing.lock:
                try:
                    standby.reconcile()
                finally:
                    standby.stop()

    def _died(self, error: BaseException) -> None:
        self._loop.call_soon_threadsafe(self._go_on_here, error)

    def _go_on_here(self, error: BaseException) -> None:
        self._log.error(
            "The thread that deals connections has died, or could not begin: %r. The arbiter deals them from now on, "
            "and clients wait for whatever it waits for. If it has died, please report this.",
            error,
            exc_info=error,
        )
        sys.setswitchinterval(self._switch_seconds)
        self.is_wanted = False
        self._deal_here()

    # --- on the arbiter's loop --------------------------------------------------------------------

    def _deal_here(self) -> None:
        self.is_here, self._is_resting = True, False
        self._dealing.on_sooner = self._set_timer
        self._loop.add_reader(self._dealing.fileno(), self._turn_here)
        self._turn_here()

    def _turn_here(self) -> None:
        if not self.is_here or self._is_resting:
            return
        try:
            self._dealing.turn(waits=False)
        except Exception as error:  # noqa: BLE001 - what lasts would come with every turn
            self._rest_after(error)
        else:
            self._set_timer()

    def _rest_after(self, error: Exception) -> None:
        """Deal no more for a moment."""
        self._is_resting = True
        self._tell(error)
        self._loop.remove_reader(self._dealing.fileno())
        self._loop.call_later(_REST_SECONDS, self._rested)

    def _tell(self, error: Exception) -> None:
        """Report each fault once."""
        if repr(error) not in self._told:
            self._told.add(repr(error))
            self._log.error("Dealing connections failed: %r. Trying again.", error, exc_info=error)

    def _rested(self) -> None:
        if self._is_resting:  # or a thread deals by now
            self._deal_here()

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        seconds = self._dealing.seconds_to_timer
        self._timer = None if seconds is None else self._loop.call_later(seconds, self._turn_here)
