"""Run work on a native thread that ends for every fork of its process and begins again after it.

A forked child has one thread, so a fork copies what the others were in the middle of: locks, half-written buffers,
descriptors.  Python 3.12 warns of each such fork.  So before any fork the threads that were made here are asked to end,
all at once, and in the parent they begin again.  A thread that clients wait for ends last and begins first: it works
while others are waited for.  ``_posixsubprocess`` (``subprocess`` without a ``preexec_fn``) replaces its child at once
and runs no such hook: it disturbs nobody.  Hooks of others that wait keep no thread from its work: ours are nearer to
the fork (``base/fork_gate``).

The work must not take signals (all are blocked, so that the main thread has them), use anything that gevent patches,
log by :mod:`logging` (its locks are held at a fork), or wait for anything that ``interrupt`` cannot end.

Rejected: ``threading.Thread``, which gevent replaces by a greenlet where the primary is patched, and which Python joins
at exit.
"""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
import os
import signal as signals
import sys
import time
from collections.abc import Callable
from typing import Any, ClassVar, Final
from weakref import WeakSet

from ..base.fork_gate import stand_nearest
from ..base.loop import original

__all__ = ["HelperThread"]

_ALL_SIGNALS: Final = frozenset(map(int, signals.valid_signals()))  # not of each fork anew: that copies many pages
# The function in C: what Python wraps it in looks up the name of each signal that was blocked, 0.1 ms for all.
_set_mask: Final[Any] = original("_signal", "pthread_sigmask")
_LOOK_SECONDS: Final = 0.00005
_PYTHON_THAT_COUNTS: Final = 0x030C0000

_LEFT_SECONDS: Final = 1.0  # for the kernel to see the thread gone, which its lock tells a moment too early


class HelperThread:
    """One thread of work.

    Args:
        name: what ``ps -T`` and ``top -H`` show, at most 15 characters.
        work: runs until :attr:`is_stopping`; what it raises is given to ``died``.
        interrupt: ends any wait of ``work``, so that it looks at :attr:`is_stopping`; called from any thread.
        died: called with the error that ended ``work``, on the thread itself, or that kept it from beginning.
        patience: seconds that :meth:`stop` and a fork wait for ``work`` to return.
        is_urgent: it ends after all others for a fork, and begins before them.

    Attributes:
        is_stopping: whether ``work`` is to return.
    """

    def __init__(
        self,
        name: str,
        work: Callable[[], None],
        interrupt: Callable[[], None],
        died: Callable[[BaseException], None],
        patience: float = 5.0,
        *,
        is_urgent: bool = False,
    ) -> None:
        self._name = name
        self._work = work
        self._interrupt = interrupt
        self._died = died
        self._patience = patience
        self._running: Any = None  # a lock that the running thread holds
        self._deciding = original("_thread", "allocate_lock")()  # whether the thread ends or goes on
        self._native_id = 0
        self.is_urgent = is_urgent
        self.is_stopping = False
        _Threads.of_this_process.add(self)
        _register_once()

    @property
    def is_running(self) -> bool:
        """Whether the thread runs now."""
        return self._running is not None and self._running.locked()

    def start(self) -> None:
        """Begin, or go on where :meth:`stop` has asked in vain; a no-op when it runs.  During a fork, begin after it.

        Where the kernel has no thread left, ``died`` is called, here.
        """
        if _Threads.begin_later(self):
            return
        try:
            with self._deciding:
                self.is_stopping = False
                if not self.is_running:
                    self._begin()
        except RuntimeError as error:
            self._died(error)

    def _begin(self) -> None:
        running = original("_thread", "allocate_lock")()
        running.acquire()
        mask = _set_mask(signals.SIG_BLOCK, _ALL_SIGNALS)  # inherited by the thread
        try:
            original("_thread", "start_new_thread")(self._run, (running,))
        finally:
            _set_mask(signals.SIG_SETMASK, mask)
        self._running = running

    def stop(self) -> bool:
        """End, and return whether it has ended; ``False`` when it still waits for something after ``patience``."""
        self.ask_to_end()
        return self.wait_for_the_end()

    def ask_to_end(self) -> None:
        """Let ``work`` return, without waiting for that."""
        if self.is_running:
            self.is_stopping = True
            self._interrupt()

    def wait_for_the_end(self) -> bool:
        """Return whether it has ended; ``False`` when it still waits for something after ``patience``."""
        if not self.is_running:
            return True
        if not self._running.acquire(timeout=self._patience):
            return False
        self._running.release()
        _wait_for_the_kernel(self._native_id)
        return True

    def abandon(self) -> None:
        """In a forked child: forget the thread, which is not here."""
        self._running = None
        _Threads.of_this_process.discard(self)

    def _run(self, running: Any) -> None:  # noqa: ANN401 - the type of a lock has no public name before 3.13
        try:
            self._native_id = original("_thread", "get_native_id")()
            _name_thread(self._native_id, self._name)
            while not self._has_ended(running):
                self._work()
        except BaseException as error:  # noqa: BLE001 - told to whoever made the thread
            running.release()
            self._died(error)

    def _has_ended(self, running: Any) -> bool:  # noqa: ANN401 - as above
        with self._deciding:
            if self.is_stopping:
                running.release()
            return self.is_stopping


class _Threads:
    of_this_process: ClassVar[WeakSet[HelperThread]] = WeakSet()
    paused: ClassVar[list[HelperThread]] = []
    forks = 0  # under way: several threads may fork at once
    counting: ClassVar[Any] = original("_thread", "RLock")()  # a handler of a signal may interrupt whoever has it
    registered = False

    @classmethod
    def begin_later(cls, thread: HelperThread) -> bool:
        """Whether a fork is under way: it begins the thread."""
        with cls.counting:
            if cls.forks and thread not in cls.paused:
                cls.paused.append(thread)
            return cls.forks > 0

    @classmethod
    def pause(cls) -> list[HelperThread]:
        """A fork is under way; return those that are to end for it."""
        with cls.counting:
            cls.forks += 1
            running = [one for one in cls.of_this_process if one.is_running and not one.is_stopping]
            cls.paused += running
            return running

    @classmethod
    def go_on(cls) -> list[HelperThread]:
        """A fork is over; return those that are to begin again: after the last, if several threads fork."""
        with cls.counting:
            cls.forks -= 1
            paused, cls.paused = ([], cls.paused) if cls.forks else (cls.paused, [])
            return paused


def _register_once() -> None:
    if not _Threads.registered:
        _Threads.registered = True
        stand_nearest(_before_fork, _in_parent)
        os.register_at_fork(after_in_child=_in_child)


def _before_fork() -> None:
    urgent, others = _by_urgency(_Threads.pause())
    for threads in (others, urgent):
        for thread in threads:
            thread.ask_to_end()
        for thread in threads:
            thread.wait_for_the_end()


def _in_parent() -> None:
    urgent, others = _by_urgency(_Threads.go_on())
    for thread in urgent + others:
        thread.start()


def _by_urgency(threads: list[HelperThread]) -> tuple[list[HelperThread], list[HelperThread]]:
    return [one for one in threads if one.is_urgent], [one for one in threads if not one.is_urgent]


def _in_child() -> None:
    _Threads.forks, _Threads.paused = 0, []
    _Threads.counting = original("_thread", "RLock")()  # another thread may have had it
    for thread in list(_Threads.of_this_process):
        thread.abandon()


def _name_thread(native_id: int, name: str) -> None:
    try:
        with open(f"/proc/self/task/{native_id}/comm", "w", encoding="ascii") as file:
            file.write(name[:15])
    except OSError:
        pass


def _wait_for_the_kernel(native_id: int) -> None:
    """Let Python 3.12 and later count one thread less; before, nobody counts."""
    if sys.hexversion < _PYTHON_THAT_COUNTS:
        return
    deadline = time.monotonic() + _LEFT_SECONDS
    while os.path.exists(f"/proc/self/task/{native_id}") and time.monotonic() < deadline:
        original("time", "sleep")(_LOOK_SECONDS)
