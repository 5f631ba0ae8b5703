"""Let gunicorn's main loop wait in ours, and carry out the signals that it is told of one by one.

A part of the arbiter in a file of its own.  Between two signals our loop turns, so that a burst of them holds up
neither messages nor events.
"""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

from gunicorn.errors import HaltServer

from ...base.exit_code import exit_code_of
from .waiting_signals import WaitingSignals

if TYPE_CHECKING:
    from queue import SimpleQueue

    from gunicorn.arbiter import Arbiter as _Base

    from ...base.loop import Loop
else:
    _Base = object  # the real base is the class of the arbiter that is adopted

__all__ = ["MainLoop"]


class MainLoop(_Base):  # type: ignore[misc]  # gunicorn has no type hints
    """The arbiter as it waits; what it is besides comes from the class that this is mixed into."""

    SIG_QUEUE: SimpleQueue[int]
    WAKEUP_REQUEST: int
    loop: Loop
    is_stopping: bool
    waiting_signals: WaitingSignals
    _is_woken = False

    def wait_for_signals(self, timeout: float = 1.0) -> list[int]:
        """Replaces the wait in gunicorn's signal queue: at most one signal, after at least one turn of our loop."""
        deadline = time.monotonic() + timeout
        is_woken = self._collect_signals()
        self.turn(0.0 if is_woken or timeout <= 0 else timeout)
        while not (self._collect_signals() or is_woken):
            patience = deadline - time.monotonic()
            if patience <= 0:
                break
            self.turn(patience)
        return [self.waiting_signals.take()] if self.waiting_signals else []

    def take_signals(self) -> list[int]:
        """Return every signal that has come."""
        self._collect_signals()
        return self.waiting_signals.take_all()

    def _collect_signals(self) -> bool:
        """Take over what gunicorn's handlers have queued; return whether a signal waits, or somebody woke the loop."""
        is_woken, self._is_woken = self._is_woken, False
        while not self.SIG_QUEUE.empty():
            is_woken = True
            number = self.SIG_QUEUE.get_nowait()
            if number != self.WAKEUP_REQUEST:
                self.waiting_signals.add(number)
        return is_woken or bool(self.waiting_signals)

    def turn(self, timeout: float) -> None:
        """Run one turn of the loop."""
        try:
            self.loop.run_once(timeout)
        except SystemExit as error:
            self._exit_in_order(error)

    def _exit_in_order(self, error: SystemExit) -> None:
        """Let a handler in the primary that calls ``sys.exit`` end the server, workers and all."""
        if not self.is_stopping:
            raise HaltServer("A handler in the primary asked to exit.", exit_code_of(error)) from error

    def wakeup(self) -> None:
        """Extends gunicorn's: the queue alone would not end a wait in our loop.  Any thread may call it.

        Woken once is enough until the loop has looked: a worker's frames may wake it thousands of times.
        """
        if not self._is_woken:
            self._is_woken = True
            super().wakeup()
            self.loop.wake()
