"""Wait for sockets and timers of the dealer, on whichever thread deals.

One lock is held whenever callbacks run, and never while waiting: so the arbiter's thread may take it for a moment, and
change what it likes.  Callbacks and timers are called with it; they wait for nothing, log nothing and raise nothing.

:class:`~nodecluster_compat.base.loop.Loop` is the arbiter's: its callbacks are users' as well.

The C extension has the twin of a turn (``native/dealing_loop.c``).
"""

from __future__ import annotations

import _socket
import _thread  # noqa: F401 - ``original`` looks for it
import heapq
import os
import select  # noqa: F401 - likewise
import time
from collections.abc import Callable
from itertools import count
from typing import Any, Final

from ..base.loop import original
from ..base.native import Choice, in_force
from .standby import Standby

__all__ = ["EDGE", "READABLE", "WRITABLE", "DealingLoop"]

READABLE: Final = 0x001  # epoll_ctl(2); gevent removes the names from the select module
WRITABLE: Final = 0x004
EDGE: Final = 1 << 31
_FOREVER: Final = -1


class DealingLoop:
    """Readiness of descriptors, and timers.

    Args:
        choice: C or Python; what is in force unless it is said.
        clock: seconds.

    Attributes:
        clock: by which timers are due.
        epoll: what it waits with.
        lock: held while callbacks run; a thread that has it may take it again, in a handler of a signal.
        is_in_turn: whether callbacks run.
        at_turn_end: called, with the lock, when the callbacks of a turn have run.
        take_turn: what :meth:`turn` does, in C or in Python.
        on_sooner: called, with the lock, when a timer was set outside a turn and is the next one; unless somebody says
            otherwise, it ends the wait.
    """

    def __init__(self, choice: Choice | None = None, clock: Callable[[], float] = time.monotonic) -> None:
        self.clock = clock  # a function of C: it is asked twice a turn
        self.lock = original("_thread", "RLock")()
        self.epoll = original("select", "epoll")()
        self._callbacks: dict[int, Callable[[int], None]] = {}
        self._timers: list[tuple[float, int, Callable[..., None], tuple[Any, ...]]] = []
        self._sequence = count()
        self.is_in_turn = False
        self._wake_fd = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self.at_turn_end: Callable[[], None] = lambda: None
        self.on_sooner: Callable[[], None] = self.wake
        native = (in_force() if choice is None else choice).module
        self._in_c = (
            None if native is None else native.DealingTurns(self, self.epoll, self.lock, self._callbacks, self._timers)
        )
        self.take_turn: Callable[[bool], None] = self._turn_in_python if self._in_c is None else self._in_c.turn
        self.watch(self._wake_fd, READABLE | EDGE, self._woken)

    def fileno(self) -> int:
        """Return a descriptor that is readable when :meth:`turn` has something to do."""
        fd: int = self.epoll.fileno()
        return fd

    def wake(self) -> None:
        """End the wait of :meth:`turn`; from any thread."""
        os.eventfd_write(self._wake_fd, 1)

    def stand_by(self, standby: Standby) -> None:
        """Let ``standby`` deal while a turn waits for the interpreter's lock; a no-op in Python."""
        if self._in_c is not None:
            self._in_c.stand_by(standby)

    def watch(self, fd: int, events: int, callback: Callable[[int], None]) -> None:
        """Call back with the events that are there, until :meth:`unwatch`."""
        (self.epoll.modify if fd in self._callbacks else self.epoll.register)(fd, events)
        self._callbacks[fd] = callback

    def unwatch(self, fd: int) -> None:
        """Call back no more; a no-op when it is not watched."""
        if self._callbacks.pop(fd, None) is not None:
            self.epoll.unregister(fd)

    def call_later(self, seconds: float, callback: Callable[..., None], *args: Any) -> None:
        """Call back once, after ``seconds``."""
        due = self.clock() + seconds
        is_sooner = not self._timers or due < self._timers[0][0]
        heapq.heappush(self._timers, (due, next(self._sequence), callback, args))
        if is_sooner and not self.is_in_turn:
            self.on_sooner()

    @property
    def seconds_to_timer(self) -> float | None:
        """Until the next timer is due; ``None`` for none."""
        return max(0.0, self._timers[0][0] - self.clock()) if self._timers else None

    def turn(self, waits: bool) -> None:
        """Run one turn.

        Args:
            waits: for the next event or timer; else only what is there is handled.
        """
        self.take_turn(waits)

    def _turn_in_python(self, waits: bool) -> None:
        timeout: float = 0
        if waits:
            seconds = self.seconds_to_timer
            timeout = _FOREVER if seconds is None else seconds
        ready = self.epoll.poll(timeout)
        with self.lock:
            self.is_in_turn = True
            try:
                self._run(ready)
            finally:
                self.is_in_turn = False

    def close(self) -> None:
        """Give back the descriptors of the loop itself; a no-op when that was done."""
        self._callbacks.clear()
        self._timers.clear()
        if not self.epoll.closed:
            self.epoll.close()
            _socket.close(self._wake_fd)  # gevent's os.close puts it off

    def _run(self, ready: list[tuple[int, int]]) -> None:
        callbacks = self._callbacks
        for fd, events in ready:
            callback = callbacks.get(fd)  # an earlier one may have removed it
            if callback is not None:
                callback(events)
        if self._timers:
            self._run_timers()
        self.at_turn_end()

    def _run_timers(self) -> None:
        now = self.clock()
        while self._timers and self._timers[0][0] <= now:
            _, _, callback, args = heapq.heappop(self._timers)
            callback(*args)

    def _woken(self, _: int) -> None:
        """It is told of by an edge: reading it would give up the interpreter's lock during a turn."""
