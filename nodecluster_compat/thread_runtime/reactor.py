"""Run the channels, timers and handlers of a worker on threads.

Theory of operation
-------------------
The main thread turns (:meth:`ThreadReactor.turn`): it reads and writes the channels, and knows when timers are due.
Whatever touches the channels holds one lock, so any thread may send: what it sends is whole, and in its order.

No code of the user's runs on the main thread, where it would hold up everybody, nor with the lock held:

* one thread tells messages, in order; a handler may block, later messages wait for it, requests do not;
* another one makes deferred calls and fires timers, in the order in which they are due;
* ``spawn`` has a thread for each call, used again, and so has each deliverer of a subscription.

They are daemon threads: a handler that never comes back holds up no end.
"""

from __future__ import annotations

import heapq
import threading
import time
from collections import deque
from collections.abc import Callable
from itertools import count
from typing import Any, Final, TypeVar

from ..base.handler_calls import run_guarded
from ..base.timers import Timer
from ..errors import WouldBlock
from ..messages.frames import Frame
from .poller import Poller
from .pool import Job, ThreadPool

__all__ = ["ThreadReactor"]

_MOST_SPAWNED: Final = 256
_MOST_APART: Final = 64
_AGAIN_SECONDS: Final = 1.0  # until a thread is asked for again, where the system gives none

Item = TypeVar("Item")

_LONG: Final = 3600.0


class ThreadReactor:
    """A :class:`~nodecluster_compat.roles.worker_runtime.Runtime`, by one thread that turns.

    Args:
        poller: what that waits in.
        exits: told of ``SystemExit`` that a handler has raised.
    """

    def __init__(self, poller: Poller, exits: Callable[[BaseException], None]) -> None:
        super().__init__()
        self.lock = threading.RLock()
        self._poller = poller
        self._exits = exits
        self._main = threading.get_ident()
        self._is_turning = False
        self._at_turn_end: deque[Callable[[], None]] = deque()
        self._numbers = count()
        self._due: list[tuple[float, int, Callable[[], None]]] = []
        self._timers_lock = threading.RLock()  # a signal handler may set one while this thread does
        self._messages = ThreadPool(1, "nodecluster-messages", self._short)
        self._calls = ThreadPool(1, "nodecluster-calls", self._short)
        self._spawned = ThreadPool(_MOST_SPAWNED, "nodecluster-spawned", self._short)
        self._apart = ThreadPool(_MOST_APART, "nodecluster-subscribers", self._short)

    # --- the reactor ---------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is readable or closed."""
        self._poller.add_reader(fd, self._locked(callback))

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading."""
        self._poller.remove_reader(fd)

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is writable or broken."""
        self._poller.add_writer(fd, self._locked(callback))

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""
        self._poller.remove_writer(fd)

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call back before the main thread waits again."""
        self._at_turn_end.append(callback)
        if threading.get_ident() != self._main or not self._is_turning:
            self._poller.wake()

    def call_soon(self, callback: Callable[..., Any], *args: object) -> None:
        """Call back on the thread of deferred calls, in the order of the calls."""
        self._calls.submit(run_guarded, "a deferred call", None, callback, *args, done=self._ended)

    def call_later(self, seconds: float, callback: Callable[[], None]) -> None:
        """Call back after ``seconds``, in the main thread; it must not block."""
        self._at(seconds, self._locked(callback))

    def _locked(self, callback: Callable[[], None]) -> Callable[[], None]:
        def call() -> None:
            with self.lock:
                _run(callback)

        return call

    # --- timers --------------------------------------------------------------------------------

    def start(self, timer: Timer, seconds: float) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`."""
        timer.clock = self
        timer.start_number += 1
        self._at(seconds, _Expiry(self, timer))

    def changed(self, timer: Timer) -> None:
        """See :class:`~nodecluster_compat.base.timers.Clock`: one that was cancelled fires in vain."""

    def fire(self, timer: Timer) -> None:
        """Let a timer call back, on the thread of deferred calls."""
        self._calls.submit(timer.fire, done=self._ended)

    def _at(self, seconds: float, callback: Callable[[], None]) -> None:
        due = time.monotonic() + max(0.0, seconds)
        with self._timers_lock:
            heapq.heappush(self._due, (due, next(self._numbers), callback))
            is_first = self._due[0][0] == due
        if is_first:
            self._poller.wake()

    def _call_due(self) -> None:
        now = time.monotonic()
        while True:
            with self._timers_lock:
                if not self._due or self._due[0][0] > now:
                    return
                callback = heapq.heappop(self._due)[2]
            callback()

    # --- turning -------------------------------------------------------------------------------

    def turn(self, seconds: float) -> None:
        """In the main thread: wait for whatever comes, at most so long, and deal with it."""
        due = self._due
        if self._at_turn_end:
            seconds = 0.0
        elif due:
            seconds = min(seconds, due[0][0] - time.monotonic())
        self._is_turning = True
        try:
            self._poller.turn(seconds)
            if due:
                self._call_due()
        finally:
            self._is_turning = False
        while self._at_turn_end:
            with self.lock:
                _run(self._at_turn_end.popleft())

    # --- the runtime ---------------------------------------------------------------------------

    def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Run ``call`` on a thread of its own, and ``then`` after it, however it ends."""

        def ended(job: Job) -> None:
            if then is not None:
                then()
            self._ended(job)

        self._spawned.submit(call, done=ended)

    def deliver(self, take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
        """Tell one frame after another, on the thread of messages, until there is none."""
        self._messages.submit(_deliver, take, tell, done=self._ended)

    def deliver_apart(self, take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
        """Tell one item after another, on a thread that no other deliverer has meanwhile."""
        self._apart.submit(_deliver, take, tell, done=self._ended)

    def hold_channel(self, holds: bool) -> None:
        """Nothing to do: a server lives on until it is told to end."""

    def wait(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """Call ``begin(done)`` and wait, on this thread, until ``done()`` is called.

        While the application is loaded the main thread turns meanwhile.

        Raises:
            WouldBlock: this is the main thread, during its turn.
        """
        is_done = threading.Event()
        if threading.get_ident() != self._main:
            begin(is_done.set)
            is_done.wait()
            return
        if self._is_turning:
            raise WouldBlock(
                "expected a call that waits outside of signal handlers: give it a callback, or make it in a thread"
            )

        def done() -> None:
            is_done.set()
            self._poller.wake()

        begin(done)
        while not is_done.is_set():
            self.turn(_LONG)

    def _ended(self, job: Job) -> None:
        try:
            job.result()
        except SystemExit as error:
            self._exits(error)
        except BaseException as error:  # noqa: BLE001 - as a thread of Python's ends by it
            _say(error)

    def _short(self, error: RuntimeError, again: Callable[[], None]) -> None:
        """The system gives no thread now: say so, and try until it does."""
        _say(error)
        self.call_later(_AGAIN_SECONDS, again)

    def let_go(self) -> None:
        """The process ends: threads that are idle end, and nothing that waits is done."""
        self._due.clear()
        for pool in (self._messages, self._calls, self._spawned, self._apart):
            pool.shutdown()


class _Expiry:
    """When a timer is due; what it was started for again since, or cancelled, is not."""

    __slots__ = ("_number", "_reactor", "_timer")

    def __init__(self, reactor: ThreadReactor, timer: Timer) -> None:
        self._reactor = reactor
        self._timer = timer
        self._number = timer.start_number

    def __call__(self) -> None:
        if self._timer.start_number == self._number and not self._timer.cancelled:
            self._reactor.fire(self._timer)


def _deliver(take: Callable[[], Item | None], tell: Callable[[Item], None]) -> None:
    while (item := take()) is not None:
        try:
            tell(item)
        except SystemExit:
            raise
        except BaseException as error:  # noqa: BLE001 - a thread would end by it, and what waits is told all the same
            _say(error)


def _run(callback: Callable[[], None]) -> None:
    """Call back; what that raises is said, and ends no worker: as on gevent and asyncio."""
    try:
        callback()
    except MemoryError:
        raise
    except Exception as error:  # noqa: BLE001 - whatever it is, others are to be called as well
        _say(error)


def _say(error: BaseException) -> None:
    threading.excepthook(
        threading.ExceptHookArgs((type(error), error, error.__traceback__, threading.current_thread()))
    )
