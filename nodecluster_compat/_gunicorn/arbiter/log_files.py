"""Hand gunicorn's loggers to the log writer, and reopen their files on USR1."""

from __future__ import annotations

import logging
import signal as signals
from functools import partial
from typing import TYPE_CHECKING, Protocol

from ...operations.log_writer import LogWriter

if TYPE_CHECKING:
    from ..gunicorn_types import GunicornLog
    from .seat import Seat

__all__ = ["log_writer_of", "loggers_of", "reopen", "reopen_own"]


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose log files are opened again.

        Attributes:
            log_writer: writes them.
        """

        log_writer: LogWriter

        def kill_workers(self, sig: int) -> None:
            """Send a signal to every worker; gunicorn's."""

        def kill_dirty_arbiter(self, sig: int) -> None:
            """Send a signal to the dirty arbiter, where there is one; gunicorn's, from 25 on."""


def log_writer_of(log: GunicornLog) -> LogWriter:
    """Return the writer of the standard library's loggers behind gunicorn's; a ``logger_class`` may have others."""
    loggers = []
    for attribute, name in (("error_log", "gunicorn.error"), ("access_log", "gunicorn.access")):
        logger = getattr(log, attribute, None)
        loggers.append(logger if isinstance(logger, logging.Logger) else logging.getLogger(name))
    return LogWriter(loggers)


def loggers_of(log: GunicornLog) -> list[logging.Logger]:
    """Return the loggers of what a worker says of itself: gunicorn's, less the access log, and ours."""
    error_log = getattr(log, "error_log", None)
    gunicorns = error_log if isinstance(error_log, logging.Logger) else logging.getLogger("gunicorn.error")
    return [gunicorns, logging.getLogger("nodecluster_compat")]


def reopen(arbiter: _Seat) -> None:
    """Open the log files again, where no disk can hold up the arbiter; then tell the workers, as gunicorn does.

    Not before: what holds up one holds up the others.
    """
    arbiter.log_writer.call(partial(_reopen, arbiter))


def reopen_own(arbiter: _Seat) -> None:
    """Open the log files of this process again, where no disk can hold up the arbiter."""
    arbiter.log_writer.call(arbiter.log.reopen_files)


def _reopen(arbiter: _Seat) -> None:
    try:
        arbiter.log.reopen_files()
    finally:
        arbiter.loop.call_soon_threadsafe(_tell_to_reopen, arbiter)


def _tell_to_reopen(arbiter: _Seat) -> None:
    arbiter.kill_workers(signals.SIGUSR1)
    if getattr(arbiter, "dirty_arbiter_pid", 0):
        arbiter.kill_dirty_arbiter(signals.SIGUSR1)
