r"""Write lines of the access log to the stream that gunicorn's handler has, and flush it once a turn of the loop.

Theory of operation
-------------------
For each line ``logging`` makes a record, finds its caller, asks filters and handlers, formats, writes, and flushes: a
system call each.  All of that comes down to ``stream.write(line + "\n")`` if the logger ``gunicorn.access`` has one
handler that is a plain ``StreamHandler`` or ``FileHandler``, there is no filter, and the formatter is ``%(message)s``:
gunicorn's own with ``--access-logfile``.  This is checked again for each line (what loggers, handlers and formatters
hold) and at the first line of each turn (what classes have been patched).

A line goes into the stream's buffer at once, so it comes before whatever is printed to the same stream later.  Only the
flush waits, at most until

* the end of the turn, when the loop has nothing left to do but to wait;
* the next line of the error log, which may go to the same place;
* a fork, whose child would have a copy of the buffer;
* 4096 bytes (``PIPE_BUF``), up to which lines of several workers do not mix in a pipe;
* the opening of the files anew (USR1), or the end of the process: ``logging`` closes the handler, which flushes.

So the lines of a turn are lost only if Python cannot say a last word: SIGKILL, ``os._exit``, a crash.

Errors of a disk are handled as ``logging`` does it: ``handleError``, and the stream keeps what it keeps.  Several
threads may write lines where each of them is flushed.
"""

from __future__ import annotations

import io
import logging
import os
from collections.abc import Callable, Iterable
from operator import attrgetter
from types import FunctionType
from typing import Any, Final

__all__ = ["AccessStream", "FlushFirst", "are_from"]

_MOST_BYTES: Final = 4096
_MESSAGE: Final = "%(message)s"
_HANDLERS: Final = (logging.StreamHandler, logging.FileHandler)
_LOGGING_FILE: Final = logging.getLogger.__code__.co_filename

# What a line depends on: what objects hold, and what would be called.
_LOGGER_STATE: Final = attrgetter("handlers", "filters", "propagate", "level", "disabled", "manager.disable")
_HANDLER_STATE: Final = attrgetter("filters", "level", "formatter", "stream", "terminator")
_LOGGER_CALLS: Final = attrgetter(
    "info", "_log", "isEnabledFor", "findCaller", "makeRecord", "handle", "filter", "callHandlers"
)
_HANDLER_CALLS: Final = attrgetter(
    *("handle", "filter", "acquire", "release", "emit", "format", "flush"),
    *("formatter.format", "formatter.usesTime", "formatter.formatMessage"),
    *("formatter._style.format", "formatter._style._format", "formatter._style.usesTime"),
)
_CLASS_CALLS: Final = attrgetter("StreamHandler.emit", "LogRecord.__init__", "LogRecord.getMessage")


def are_from(file: str, methods: Iterable[object]) -> bool:
    """Whether methods, bound or not, are functions that a module has defined: nobody has replaced or wrapped them."""
    functions = [getattr(method, "__func__", method) for method in methods]
    return all(type(one) is FunctionType and one.__code__.co_filename == file for one in functions)


class AccessStream:
    """Writes lines to the stream of a logger's only handler.

    Args:
        logger: gunicorn's ``gunicorn.access``.
        at_turn_end: calls once, when the loop has nothing left to do; ``None``: every line is flushed.
    """

    def __init__(self, logger: logging.Logger, at_turn_end: Callable[[Callable[[], None]], object] | None) -> None:
        self._logger = logger
        self._at_turn_end = at_turn_end
        self._state: tuple[Any, Any] | None = None  # of logger and handler, when they were found to be plain
        self._calls: tuple[object, ...] = ()
        self._handler: Any = None
        self._stream: Any = None
        self._held = 0  # bytes that are not flushed
        os.register_at_fork(before=self.flush)

    @property
    def is_holding(self) -> bool:
        """Whether lines have been written since the last flush."""
        return self._held > 0

    def is_plain(self) -> bool:
        """Whether a line that is logged now would only be written and flushed."""
        state, handlers = self._state, self._logger.handlers
        if state is not None and handlers and state == (_LOGGER_STATE(self._logger), _HANDLER_STATE(handlers[0])):
            return bool(self._held) or self._calls == _calls(self._logger, handlers[0]) or self._survey()
        return self._survey()

    def write(self, line: str) -> bool:
        """Write a line, which :meth:`is_plain`; return ``False`` if ``logging`` has to do it."""
        size = len(line) + 1
        if not line.isascii():
            try:
                size = len(line.encode(self._stream.encoding, self._stream.errors)) + 1
            except UnicodeError:
                return False
        if self._at_turn_end is None:
            return self._write_alone(line)
        if self._held and self._held + size > _MOST_BYTES:
            self.flush()
        try:
            self._stream.write(line + "\n")
        except Exception:  # noqa: BLE001 - as logging does
            self._tell()
            return True
        if not self._held:
            self._at_turn_end(self.flush)
        self._held += size
        return True

    def _write_alone(self, line: str) -> bool:
        """Write and flush a line beside other threads, one of which may be opening the file anew."""
        handler, stream = self._handler, self._stream
        with handler.lock:
            if handler.stream is not stream or stream.closed:
                return False
            try:
                stream.write(line + "\n")
                stream.flush()
            except Exception:  # noqa: BLE001 - as logging does
                self._tell()
        return True

    def flush(self) -> None:
        """Write what is held."""
        if not self._held:
            return
        self._held = 0
        try:
            if not self._stream.closed:
                self._stream.flush()
        except Exception:  # noqa: BLE001 - as logging does
            self._tell()

    def _tell(self) -> None:
        """Say that lines could not be written; not which, of several."""
        text = "lines of the access log"
        self._handler.handleError(logging.LogRecord(self._logger.name, logging.INFO, __file__, 0, text, (), None))

    def _survey(self) -> bool:
        """Find out whether it is plain, and remember of what."""
        self._state = None
        self.flush()
        logger = self._logger
        if not (_is_plain_logger(logger) and _is_plain_handler(logger.handlers[0])):
            return False
        handler: Any = logger.handlers[0]
        calls = _calls(logger, handler)
        if not are_from(_LOGGING_FILE, calls[:-1]) or calls[-1] is not logging.LogRecord:
            return False
        self._handler, self._stream, self._calls = handler, handler.stream, calls
        handlers, filters, *rest = _LOGGER_STATE(logger)
        self._state = ([*handlers], [*filters], *rest), ([*handler.filters], *_HANDLER_STATE(handler)[1:])
        return True


def _calls(logger: logging.Logger, handler: object) -> tuple[object, ...]:
    return (
        *_LOGGER_CALLS(logger),
        *_HANDLER_CALLS(handler),
        *_CLASS_CALLS(logging),
        logging.getLogRecordFactory(),
    )


def _is_plain_logger(logger: logging.Logger) -> bool:
    return (
        type(logger) is logging.Logger
        and len(logger.handlers) == 1
        and not logger.filters
        and not logger.propagate
        and logger.isEnabledFor(logging.INFO)
    )


def _is_plain_handler(handler: Any) -> bool:  # noqa: ANN401 - any handler
    formatter = handler.formatter
    return (
        type(handler) in _HANDLERS
        and not handler.filters
        and handler.level <= logging.INFO
        and handler.terminator == "\n"
        and type(formatter) is logging.Formatter
        and type(formatter._style) is logging.PercentStyle
        and formatter._style._fmt == _MESSAGE
        and type(handler.stream) is io.TextIOWrapper
        and not handler.stream.closed
    )


class FlushFirst(logging.Filter):
    """Lets every record of another logger pass, after the lines that were logged before it."""

    def __init__(self, stream: AccessStream) -> None:
        super().__init__()
        self._stream = stream

    def filter(self, record: logging.LogRecord) -> bool:
        """Flush."""
        self._stream.flush()
        return True
