"""Reach the main thread of a thread worker from anywhere: wake it, call in it, raise in it what ends the worker.

What ends the worker is raised between two turns.  While the application is loaded, which may take long, there are none:
then a signal interrupts it, the one by which the primary asks for last words (:meth:`MainThread.interrupted`).
"""

from __future__ import annotations

import signal as signals
import threading
from collections import deque
from collections.abc import Callable
from typing import TYPE_CHECKING

from ....machine.real_time_signals import LAST_WORDS_SIGNAL

if TYPE_CHECKING:
    from ....thread_runtime.poller import Poller

__all__ = ["MainThread"]


class MainThread:
    """The main thread, which makes this.

    Args:
        poller: what it waits in.

    Attributes:
        is_woken: whether its wait is to end; the thread sets it to false when it has waited.
    """

    def __init__(self, poller: Poller) -> None:
        self.is_woken = False
        self._poller = poller
        self._ident = threading.get_ident()
        self._is_loading = True
        self._thrown: BaseException | None = None
        self._calls: deque[Callable[[], None]] = deque()  # for which a signal interrupts it

    @property
    def is_current(self) -> bool:
        """Whether the caller runs in it."""
        return threading.get_ident() == self._ident

    def wake(self) -> None:
        """End its wait; also before that, and in a signal handler."""
        self.is_woken = True
        self._poller.wake()

    def call(self, call: Callable[[], None]) -> None:
        """Call in it: between two turns, or where it loads the application."""
        if self._is_loading and not self.is_current:
            self._calls.append(call)  # in the next turn, where the application is loaded by then
            signals.pthread_kill(self._ident, LAST_WORDS_SIGNAL)
        else:
            self._poller.defer(call)
            self.wake()

    def throw(self, error: BaseException) -> None:
        """Raise ``error`` in it; the first one counts."""
        self._thrown = self._thrown or error
        self.call(lambda: None)

    def take_back(self) -> None:
        """Raise nothing of what was thrown: it ends by itself."""
        self._thrown = None

    def loaded(self) -> None:
        """The application is loaded: there are turns from now on."""
        self._is_loading = False

    def interrupted(self) -> None:
        """In the handler of the signal: do what others ask, if the application is still loaded."""
        if self._is_loading:
            self.catch_up()

    def catch_up(self) -> None:
        """Call what no turn has called, then raise what was thrown."""
        while self._calls:
            self._calls.popleft()()
        if self._thrown is not None:  # looked at first: another thread may throw at any moment
            error, self._thrown = self._thrown, None
            raise error
