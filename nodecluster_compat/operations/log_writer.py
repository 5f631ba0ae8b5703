"""Write the primary's log records on a thread of their own, so that a log that nobody reads holds up nobody.

Theory of operation
-------------------
Every handler of gunicorn's loggers gets a filter, the last one.  It puts the record into a bounded queue and says that
the handler has nothing to do; the thread takes it out and writes it.  Handlers stay what they are and where they are:
gunicorn's setup, its reopening of files and a user's code find them as always.  A child of the primary takes the
filters off, so a worker logs as stock's does.

* The caller formats the record, so a user's formatter and filter see what they always saw.
* A stream's text goes to the descriptor itself, past the buffer of the stream and its lock (``machine/outlet``): a fork
  copies nothing half-written.  Other handlers (syslog, a user's) emit on the thread.
* The caller waits for a moment until the record is written.  So a line is in the log before what follows it happens,
  as it would be without a thread.  Once that moment was too short nobody waits until the queue has run empty.
* Records that do not fit into the queue are dropped and counted.  Where they are missing a line says how many, once it
  flows again.
* Files are opened again on the thread as well, in the order of the records.
* At its end the primary waits up to two seconds for the rest, and ``logging.shutdown`` waits no longer, either.

Where gevent has patched locks (a user may patch the primary) handlers that need theirs emit where they are called.
"""

from __future__ import annotations

import _thread  # noqa: F401 - ``original`` looks for it
import atexit
import logging
from collections.abc import Callable, Iterable
from functools import partial
from typing import Any, Final

from ..base.loop import original
from .log_queue import Call, LogQueue
from .log_records import has_patched_locks, is_direct, prepared
from .log_thread import LogThread
from .stuck_handlers import leave_out_stuck_handlers

__all__ = ["LogWriter"]

_MOMENT_SECONDS: Final = 0.05
_LAST_SECONDS: Final = 2.0


class _Detour:
    """The filter of one handler."""

    def __init__(self, handler: logging.Handler, writer: LogWriter) -> None:
        self._handler = handler
        self._writer = writer

    def filter(self, record: logging.LogRecord) -> bool:
        """Return whether the handler emits the record here and now."""
        return self._writer.is_emitted_here(self._handler, record)


class LogWriter:
    """Writes what the handlers of some loggers have to write.

    Args:
        loggers: whose handlers; those above them, too, as far as records are propagated.
    """

    def __init__(self, loggers: Iterable[logging.Logger]) -> None:
        self._loggers = tuple(loggers)
        self._queue = LogQueue()
        self._thread = LogThread(self._queue, self._ran_empty, self._call_failed, self._died)
        self._detours: dict[logging.Handler, _Detour] = {}
        self._allocate_lock = original("_thread", "allocate_lock")
        self._is_open = self._is_stalled = False

    # --- the primary ---------------------------------------------------------------------------

    def begin(self) -> None:
        """Write on the thread from now on, until :meth:`finish`."""
        self._is_open = True
        self._thread.start()
        self.follow()
        atexit.register(self.finish)

    def follow(self) -> None:
        """Take over the handlers that there are now, and let go of those that have gone."""
        handlers = set(self._handlers()) if self._is_open else self._detours.keys()
        if self._detours.keys() == handlers:
            return
        for handler in self._detours.keys() - handlers:
            handler.removeFilter(self._detours.pop(handler))
            self.call(partial(self._thread.forget, handler))
        for handler in handlers - self._detours.keys():
            self._detours[handler] = detour = _Detour(handler, self)
            handler.addFilter(detour)
            self.call(partial(self._thread.prepare, handler))

    def _handlers(self) -> Iterable[logging.Handler]:
        any_kind = not has_patched_locks()
        for one in self._loggers:
            logger: logging.Logger | None = one
            while logger is not None:
                yield from (handler for handler in logger.handlers if any_kind or is_direct(handler))
                logger = logger.parent if logger.propagate else None

    def call(self, call: Callable[[], object]) -> None:
        """Call on the thread, behind the records that wait."""
        if self._thread.is_alive:
            self._put_call(Call(call))
        else:
            call()

    def flush(self, seconds: float) -> bool:
        """Wait up to ``seconds`` until everything is written; return whether it is."""
        done = self._locked()
        self._put_call(Call(_nothing, done))
        is_done: bool = done.acquire(timeout=seconds)
        return is_done

    def finish(self, seconds: float = _LAST_SECONDS) -> None:
        """The primary ends: wait up to ``seconds`` until everything is written.

        What is logged later is written where it is logged; or dropped, when nobody has taken what was before it.
        """
        if not self._is_open:
            return
        is_written = not self._thread.is_alive or self.flush(seconds)
        self._is_open = False
        has_ended = self._thread.stop()
        if has_ended and is_written:
            self._leave_handlers()
        if not has_ended:
            leave_out_stuck_handlers(_MOMENT_SECONDS)

    def abandon(self) -> None:
        """In a forked child: log as if nothing of this had ever been."""
        self._is_open = False
        self._leave_handlers()
        self._thread.abandon()

    def _leave_handlers(self) -> None:
        for handler, detour in self._detours.items():
            handler.removeFilter(detour)
        self._detours.clear()

    # --- callers -------------------------------------------------------------------------------

    def is_emitted_here(self, handler: logging.Handler, record: logging.LogRecord) -> bool:
        """Queue a record; return whether its handler has to emit it by itself, at once."""
        if not self._is_open:
            return False
        is_ours = self._thread.is_this
        written = prepared(handler, record)
        if is_ours and written.data is None:
            return True  # what a handler says while it emits: it would come round and round
        if not is_ours and not self._is_stalled and self._thread.is_running:
            written.done = self._locked()
        if self._queue.put(written):
            self._thread.wake()
            if written.done is not None and not written.done.acquire(timeout=_MOMENT_SECONDS):
                self._is_stalled = True
        return False

    def _locked(self) -> Any:  # noqa: ANN401 - the type of a lock has no public name before 3.13
        lock = self._allocate_lock()
        lock.acquire()
        return lock

    def _put_call(self, call: Call) -> None:
        self._queue.put_call(call)
        self._thread.wake()

    # --- what the thread says ------------------------------------------------------------------

    def _ran_empty(self) -> None:
        self._is_stalled = False

    def _call_failed(self, error: Exception) -> None:
        self._loggers[0].error("The log files could not be opened again", exc_info=error)

    def _died(self, error: BaseException) -> None:
        """A bug of ours: from now on each caller writes its records itself, as without this."""
        self._is_open = False
        self._leave_handlers()
        self._loggers[0].critical("The thread that writes the log has died; go on without it", exc_info=error)


def _nothing() -> None:
    """Nothing is to be done: the caller waits for its turn."""
