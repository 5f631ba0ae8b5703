"""Carry out a log queue on a thread: write, emit, and say what is missing."""

from __future__ import annotations

import logging
import os
import select  # noqa: F401 - ``original`` looks for it
from collections import Counter, deque
from collections.abc import Callable
from contextlib import suppress
from typing import Final

from ..base.loop import original
from ..machine.helper_thread import HelperThread
from ..machine.outlet import Outlet
from .log_queue import Call, Dropped, LogEntry, LogQueue, Written
from .log_records import dropped, emit, held, is_direct, renew_stream, stream_fd

__all__ = ["LogThread"]

_PATIENCE: Final = 0.05  # at a fork, for a write that cannot be interrupted; it goes on after the fork
_POLLIN, _POLLOUT = 0x001, 0x004  # spelled out because gevent removes them from the select module


class LogThread:
    """Empties one queue.

    Args:
        queue: filled by others, who call :meth:`wake` then.
        ran_empty: called when nothing is left.
        failed: called, on the thread, with what a call of the queue has raised.
        died: called, on the thread, when it ends by a bug.
    """

    def __init__(
        self,
        queue: LogQueue,
        ran_empty: Callable[[], None],
        failed: Callable[[Exception], None],
        died: Callable[[BaseException], None],
    ) -> None:
        self._queue = queue
        self._ran_empty = ran_empty
        self._told_failed = failed
        self._ahead: deque[LogEntry] = deque()  # of what was taken; the first is under way
        self._outlets: dict[logging.Handler, Outlet] = {}
        self._lost: Counter[logging.Handler] = Counter()  # could not be written, and nobody was told yet
        self._emitting: logging.Handler | None = None
        self._get_ident = original("_thread", "get_ident")
        self._wakes = os.eventfd(0, os.EFD_CLOEXEC | os.EFD_NONBLOCK)
        self._thread = HelperThread("log writer", self._work, self.wake, self._has_died, _PATIENCE)
        self._told_died = died
        self._ident = 0
        self._is_alive = False

    @property
    def is_running(self) -> bool:
        """Whether the queue is being emptied."""
        return self._thread.is_running and not self._thread.is_stopping

    @property
    def is_alive(self) -> bool:
        """Whether the queue will be emptied: by this thread, or by its successor after a fork."""
        return self._is_alive

    @property
    def is_this(self) -> bool:
        """Whether it is this thread that asks."""
        return self._thread.is_running and self._get_ident() == self._ident

    def start(self) -> None:
        """Empty the queue from now on."""
        self._is_alive = True
        self._thread.start()

    def stop(self) -> bool:
        """End; return ``False`` when a write that cannot be interrupted is still under way."""
        self._is_alive = False
        return self._thread.stop()

    def wake(self) -> None:
        """Look at the queue, and at whether to stop.  Any thread may call it."""
        os.eventfd_write(self._wakes, 1)

    def prepare(self, handler: logging.Handler) -> None:
        """On the thread: open what this handler will need, rather now than when descriptors are scarce."""
        if is_direct(handler):
            with suppress(OSError):
                self._outlet_of(handler)

    def forget(self, handler: logging.Handler) -> None:
        """On the thread: this handler is not used any more."""
        self._lost.pop(handler, None)
        outlet = self._outlets.pop(handler, None)
        if outlet is not None:
            outlet.close()

    def abandon(self) -> None:
        """In a forked child: give back the descriptors, which are the parent's."""
        os.close(self._wakes)
        for outlet in self._outlets.values():
            outlet.close()
        self._outlets.clear()
        renew_stream(self._emitting)

    # --- the thread ----------------------------------------------------------------------------

    def _work(self) -> None:
        self._ident = self._get_ident()
        while not self._thread.is_stopping:
            self._turn()

    def _turn(self) -> None:
        if not self._ahead:
            entry = self._queue.take()
            if entry is None:
                self._ran_empty()
                self._wait_for(None)
                return
            self._ahead.append(entry)
        blocked = self._carry_out(self._ahead[0])
        if blocked is not None:
            self._wait_for(blocked)

    def _wait_for(self, outlet: Outlet | None) -> None:
        poll = original("select", "poll")()
        poll.register(self._wakes, _POLLIN)
        if outlet is not None:
            poll.register(outlet.fileno(), _POLLOUT)
        poll.poll()
        with suppress(BlockingIOError):
            os.eventfd_read(self._wakes)

    def _carry_out(self, entry: LogEntry) -> Outlet | None:
        """Do what the first entry asks for; return where it cannot go on yet, ``None`` when it is done."""
        if isinstance(entry, Dropped):
            self._ahead.popleft()
            self._ahead.extendleft(dropped(handler, count) for handler, count in entry.counts.items())
            return None
        if isinstance(entry, Call):
            self._call(entry)
        elif (blocked := self._write(entry)) is not None:
            return blocked
        self._ahead.popleft()
        if entry.done is not None:
            entry.done.release()
        return None

    def _has_died(self, error: BaseException) -> None:
        self._is_alive = False
        self._told_died(error)

    def _call(self, entry: Call) -> None:
        try:
            entry.call()
        except Exception as error:  # noqa: BLE001 - told to the maker of the thread
            self._told_failed(error)

    def _write(self, entry: Written) -> Outlet | None:
        lost = self._lost.pop(entry.handler, 0)
        notice = dropped(entry.handler, lost) if lost else None
        if entry.data is None:
            if notice is not None:
                self._emit(notice)
            self._emit(entry)
            return None
        if notice is not None and notice.data is not None:
            entry.data, entry.stands_for = notice.data + entry.data, entry.stands_for + lost
        try:
            outlet = self._outlet_of(entry.handler)
            while entry.data:
                written = outlet.write(entry.data)
                if not written:
                    return outlet
                entry.data = entry.data[written:]
        except OSError:
            self._lost[entry.handler] += entry.stands_for
        return None

    def _emit(self, entry: Written) -> None:
        self._emitting = entry.handler
        emit(entry)
        self._emitting = None

    def _outlet_of(self, handler: logging.Handler) -> Outlet:
        """Return the way to where the handler's stream leads now; somebody may have closed or replaced it."""
        with held(handler):
            fd, outlet = stream_fd(handler), self._outlets.get(handler)
            if outlet is not None and (fd < 0 or outlet.leads_to(fd)):
                return outlet
            made = Outlet(fd)
        if outlet is not None:
            outlet.close()
        self._outlets[handler] = made
        return made
