"""Prepare log records for being written on another thread, later."""

from __future__ import annotations

import copy
import io
import logging
import sys
from collections.abc import Iterator, Mapping
from contextlib import contextmanager
from typing import Any, Final

from ..machine.outlet import takes_more
from .log_queue import Written

__all__ = ["dropped", "emit", "has_patched_locks", "held", "is_direct", "prepared", "renew_stream", "stream_fd"]

_DIRECT: Final = (logging.StreamHandler.emit, logging.FileHandler.emit)
_LASTING: Final = (str, int, float, bytes, type(None))
_kept: Final[list[object]] = []


def is_direct(handler: logging.Handler) -> bool:
    """Whether all that a handler does is to write formatted text to a stream and to flush it."""
    return type(handler).emit in _DIRECT and type(handler).flush is logging.StreamHandler.flush


def has_patched_locks() -> bool:
    """Whether locks are gevent's, which a native thread must not wait for."""
    monkey = sys.modules.get("gevent.monkey")
    return monkey is not None and bool(monkey.is_module_patched("threading"))


def stream_fd(handler: Any) -> int:  # noqa: ANN401 - a handler that has a stream, or has not
    """Return the descriptor that a handler's stream writes to.

    -1 when there is none, when it is closed, and when a program's own stream, which may do more than write, is there.
    """
    try:
        stream = handler.stream
        return int(stream.fileno()) if type(stream).write is io.TextIOWrapper.write else -1
    except (AttributeError, OSError, ValueError):
        return -1


def prepared(handler: logging.Handler, record: logging.LogRecord, stands_for: int = 1) -> Written:
    """Return what is to be written of a record: text for a stream, otherwise the record as it is now."""
    if is_direct(handler) and stream_fd(handler) >= 0:
        try:
            return Written(handler, _encoded(handler, record), None, stands_for=stands_for)
        except Exception:  # noqa: BLE001, S110 - the handler will find the same, and say so in its own way
            pass
    return Written(handler, None, _lasting(record), stands_for=stands_for)


def dropped(handler: logging.Handler, count: int) -> Written:
    """Return the line that says how many records are missing."""
    text = "%s log records were dropped here: nobody took them in time"
    record = logging.LogRecord("gunicorn.error", logging.WARNING, __file__, 0, text, (count,), None)
    return prepared(handler, record, stands_for=count)


def _encoded(handler: Any, record: logging.LogRecord) -> bytes:  # noqa: ANN401 - a stream's handler
    stream = handler.stream
    text: str = handler.format(record) + handler.terminator
    if stream in (sys.stdout, sys.stderr) and takes_more(stream.fileno()):
        stream.flush()  # what was printed before it stands before it
    encoding, errors = getattr(stream, "encoding", None), getattr(stream, "errors", None)
    return text.encode(encoding or "utf-8", errors or "strict")


def _lasting(record: logging.LogRecord) -> logging.LogRecord:
    """Return a record whose message stays, whatever becomes of its arguments."""
    values = record.args.values() if isinstance(record.args, Mapping) else record.args or ()
    if all(isinstance(value, _LASTING) for value in values):
        return record
    try:
        message = record.getMessage()
    except Exception:  # noqa: BLE001 - the handler will find the same, and say so in its own way
        return record
    record = copy.copy(record)
    record.msg, record.args = message, None
    return record


def emit(written: Written) -> None:
    """Let a handler emit its record by itself; what it raises is printed, as ``logging`` does it."""
    handler, record = written.handler, written.record
    assert record is not None
    with held(handler):
        try:
            handler.emit(record)
        except Exception:  # noqa: BLE001 - one that does not catch its own errors would have told them to whoever logged
            handler.handleError(record)


@contextmanager
def held(handler: logging.Handler) -> Iterator[None]:
    """Hold the lock of a handler, unless it is gevent's."""
    if has_patched_locks():
        yield
        return
    handler.acquire()
    try:
        yield
    finally:
        handler.release()


def renew_stream(handler: Any) -> None:  # noqa: ANN401 - any handler, or none
    """In a forked child: open a handler's file again, whose stream another thread was writing to.

    The lock of such a stream is held for ever here.  So it is kept: given back, it would be flushed first.
    """
    if isinstance(handler, logging.FileHandler) and handler.stream is not None:
        _kept.append(handler.stream)
        handler.stream = handler._open()
