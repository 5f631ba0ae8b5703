"""Run the arbiter's event loop: the signals, messages and timers of the primary, without sleeping.

Theory of operation
-------------------
gunicorn's arbiter waits for signals in a queue.  Ours waits here, for signals (through the wake-up descriptor),
messages and operators at once; connections have a loop of their own (``connections/dealing_loop``).  One turn:

    1. callbacks queued by ``call_soon`` before this turn (so events of a ``fork()`` come before
       anything that the new worker may already have sent);
    2. one ``epoll_wait``, bounded by the next timer and by the caller;
    3. the readers and writers that are ready; level-triggered, so a callback may take a slice and
       leave the rest to the next turn: nobody starves the others;
    4. timers that are due.

Whatever is asked of the loop while it waits ends the wait: by a signal handler, by another thread, by a greenlet where
the loop waits in a hub.  Nothing is late because of who asked.

A callback that raises is logged and the loop goes on.  Rejected: a gevent hub (greenlets and watchers of the parent go
on in a forked child, even after ``reinit``), and asyncio.

After a fork the child calls :meth:`Loop.abandon`: it only *closes* the epoll descriptor, because
unregistering would edit the set that it shares with its parent.
"""

from __future__ import annotations

import _socket
import contextlib
import heapq
import select
import sys
import time
from collections import deque
from collections.abc import Callable, Sequence
from itertools import count
from typing import Any, Final

from ..errors import SettingsError
from .handler_calls import Origin, run_guarded
from .log import Log
from .timers import Timer

__all__ = ["Loop", "original"]

Callback = Callable[[], None]
_READ_BYTES: Final = 4096
_FEW_TIMERS: Final = 64

# Spelled out because gevent removes them from the select module when it patches it; see epoll_ctl(2).
_EPOLLIN: Final = 0x001
_EPOLLOUT: Final = 0x004
_WRITABLE: Final = _EPOLLOUT | 0x008 | 0x010  # an error or a hang-up is for the writer to find out too


def original(module: str, name: str) -> Any:  # noqa: ANN401 - a module or a function
    """Return what a module had before gevent patched it: users may patch the primary too."""
    monkey = sys.modules.get("gevent.monkey")
    if monkey is not None:
        return monkey.get_original(module, name)
    return getattr(sys.modules[module], name)


class Loop:
    """Readiness of descriptors, timers and deferred calls for one process that owns no other loop.

    Args:
        log: told of callbacks that raise.

    Attributes:
        was_woken: a signal, or a request, has ended a wait; the runner of the loop sets it to false.
        wait_in: when set, called instead of waiting, with the descriptor to wait for and how many seconds at most;
            somebody else's loop runs meanwhile.
        wait_beside: when set, ``wait_beside(begin)`` calls ``begin(done)`` and waits until ``done()`` is called, if the
            caller may wait while this loop turns; it says whether.
    """

    def __init__(self, log: Log) -> None:
        if not hasattr(select, "epoll") and "gevent.monkey" not in sys.modules:
            raise SettingsError("nodecluster-compat needs epoll, which only Linux has")
        self._log = log
        self._epoll = original("select", "epoll")()
        self._readers: dict[int, Callback] = {}
        self._writers: dict[int, Callback] = {}
        self._soon: deque[tuple[Callable[..., Any], tuple[Any, ...]]] = deque()
        self._timers: list[tuple[float, int, Timer]] = []
        self._most_timers = _FEW_TIMERS
        self._sequence = count(1)
        self._is_waiting = False
        self.was_woken = False
        self.wait_in: Callable[[int, float], None] | None = None
        self.wait_beside: Callable[[Callable[[Callback], None]], bool] | None = None
        self._thread = original("_thread", "get_ident")()
        self._wake_in, self._wake_out = _socket.socketpair()
        for end in (self._wake_in, self._wake_out):
            end.setblocking(False)
        self.add_reader(self._wake_in.fileno(), self._woken)

    @property
    def wakeup_fd(self) -> int:
        """The descriptor for ``signal.set_wakeup_fd``: a byte on it ends the wait of this turn."""
        return self._wake_out.fileno()

    def wake(self) -> None:
        """End the wait of this turn.  May be called from any thread and from a signal handler."""
        with contextlib.suppress(BlockingIOError):  # full: a wake-up is already waiting
            self._wake_out.send(b"\0")

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call back whenever ``fd`` is readable or closed, until :meth:`remove_reader`."""
        self._readers[fd] = callback
        self._update(fd)

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading; a no-op when it is not watched."""
        if self._readers.pop(fd, None) is not None:
            self._update(fd)

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call back whenever ``fd`` is writable or broken, until :meth:`remove_writer`."""
        self._writers[fd] = callback
        self._update(fd)

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing; a no-op when it is not watched."""
        if self._writers.pop(fd, None) is not None:
            self._update(fd)

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back on the next turn, in the order of the calls."""
        self._soon.append((callback, args))
        if self._is_waiting:
            self._end_wait()

    def at_turn_end(self, callback: Callback) -> None:
        """Call back before this loop waits again."""
        self.call_soon(callback)

    def call_soon_threadsafe(self, callback: Callable[..., Any], *args: Any) -> None:
        """Like :meth:`call_soon`, from any thread."""
        self._soon.append((callback, args))
        self.wake()

    def call_later(self, seconds: float, callback: Callable[..., Any], *args: Any) -> Timer:
        """Call back after ``seconds``; ``cancel()`` on the timer calls it off.

        The timer is the server's own, whichever handler is running: a reload that forgets a module's timers keeps it.
        """
        return self.start(Timer(callback, args, None, seconds), seconds)

    def start(self, timer: Timer, seconds: float) -> Timer:
        """Let ``timer`` fire after ``seconds``; if it was started before, only then."""
        number = next(self._sequence)
        timer.clock, timer.start_number = self, number
        heapq.heappush(self._timers, (time.monotonic() + max(0.0, seconds), number, timer))
        if len(self._timers) > self._most_timers:
            self._drop_void()
        if self._is_waiting:
            self._end_wait()
        return timer

    def _drop_void(self) -> None:
        """Let go of cancelled timers before their time, as often as it costs nothing."""
        self._timers = [entry for entry in self._timers if not _is_void(entry)]
        heapq.heapify(self._timers)
        self._most_timers = max(_FEW_TIMERS, 2 * len(self._timers))

    def changed(self, _: Timer) -> None:
        """A timer was cancelled, or holds the process otherwise: the runner of the loop looks again."""
        if self._is_waiting:
            self._end_wait()

    @property
    def has_work(self) -> bool:
        """Whether a deferred call, or a timer that holds the process, is still to come."""
        return bool(self._soon) or any(entry[2].holds and not _is_void(entry) for entry in self._timers)

    def take_timers(self, origin: Origin) -> list[tuple[float, int, Timer]]:
        """Stop every timer that was set from ``origin``; return them for :meth:`give_back_timers`."""
        taken = [entry for entry in self._timers if entry[2].origin == origin]
        self._timers = [entry for entry in self._timers if entry[2].origin != origin]
        heapq.heapify(self._timers)
        return taken

    def give_back_timers(self, taken: Sequence[tuple[float, int, Timer]]) -> None:
        """Let timers run again that were taken; one whose time has come meanwhile calls back at once."""
        for entry in taken:
            heapq.heappush(self._timers, entry)

    def run_once(self, timeout: float) -> None:
        """Run one turn that waits at most ``timeout`` seconds."""
        if self._soon:
            self.run_soon()
        self._is_waiting = True  # from here on whatever is asked for ends the wait
        if self._soon or self._timers:
            timeout = self._patience(timeout)
        if self.wait_in is not None and timeout > 0:
            self.wait_in(self._epoll.fileno(), timeout)
            timeout = 0
        ready_now = self._epoll.poll(timeout)
        self._is_waiting = False
        readers, writers = self._readers, self._writers
        for fd, ready in ready_now:
            # An earlier callback of this turn may have removed this one.
            if ready != _EPOLLOUT and (callback := readers.get(fd)) is not None:
                try:
                    callback()
                except Exception:  # noqa: BLE001 - nothing that a worker causes may stop the primary
                    self._failed(callback)
            if ready & _WRITABLE and (callback := writers.get(fd)) is not None:
                try:
                    callback()
                except Exception:  # noqa: BLE001 - as above
                    self._failed(callback)
        if self._timers:
            self._run_timers()

    def is_elsewhere(self) -> bool:
        """Whether the caller is in another thread than this loop."""
        return bool(original("_thread", "get_ident")() != self._thread)

    def close(self) -> None:
        """Give back every descriptor of the loop itself."""
        self._epoll.close()
        self._wake_in.close()
        self._wake_out.close()

    def abandon(self) -> None:
        """In a forked child: let go of the parent's loop without touching what both share."""
        self._readers.clear()
        self._writers.clear()
        self._soon.clear()
        self._timers.clear()
        self.close()

    def _end_wait(self) -> None:
        self._is_waiting = False  # once is enough
        self.wake()

    def _patience(self, timeout: float) -> float:
        timers = self._timers
        while timers and _is_void(timers[0]):
            entry = heapq.heappop(timers)
            if not _is_void(entry):  # a signal handler has set one between these two lines
                heapq.heappush(timers, entry)
        if self._soon:
            return 0.0
        if timers:
            timeout = min(timeout, timers[0][0] - time.monotonic())
        return max(0.0, timeout)

    def run_soon(self) -> None:
        """Run what :meth:`call_soon` has queued, now instead of on the next turn."""
        for _ in range(len(self._soon)):
            callback, args = self._soon.popleft()
            run_guarded("a deferred call", None, callback, *args)

    def _run_timers(self) -> None:
        now = time.monotonic()
        while self._timers and self._timers[0][0] <= now:
            entry = heapq.heappop(self._timers)
            if not _is_void(entry):
                entry[2].fire()

    def _failed(self, callback: Callback) -> None:
        self._log.exception("A channel or listener callback failed: %r", callback)

    def _update(self, fd: int) -> None:
        wanted = (_EPOLLIN if fd in self._readers else 0) | (_EPOLLOUT if fd in self._writers else 0)
        if not wanted:
            self._epoll.unregister(fd)
            return
        try:
            self._epoll.modify(fd, wanted)
        except FileNotFoundError:
            self._epoll.register(fd, wanted)

    def _woken(self) -> None:
        self.was_woken = True
        try:
            while len(self._wake_in.recv(_READ_BYTES)) == _READ_BYTES:
                pass
        except BlockingIOError:
            pass


def _is_void(entry: tuple[float, int, Timer]) -> bool:
    """Whether its timer was cancelled, or started again, since."""
    timer = entry[2]
    return timer.cancelled or timer.start_number != entry[1]
