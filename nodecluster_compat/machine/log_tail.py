"""Copy what a worker logs into its notebook, where the primary finds it after the worker's death."""

from __future__ import annotations

import logging
from collections.abc import Iterable
from typing import Final

from .notebook import Notebook

__all__ = ["LogTail", "keep_tail"]

_FORMATTER: Final = logging.Formatter("%(asctime)s [%(levelname)s] %(message)s")  # the same in all workers
_MOST_CHARACTERS: Final = 8 * 1024  # of one record


class LogTail(logging.Handler):
    """Writes records to a notebook.

    Args:
        notebook: the worker's.
    """

    def __init__(self, notebook: Notebook) -> None:
        super().__init__()
        self._notebook = notebook
        self._last: logging.LogRecord | None = None
        self.setFormatter(_FORMATTER)

    def emit(self, record: logging.LogRecord) -> None:
        """Write it; once, although two loggers may both have it."""
        if record is self._last or not self._notebook.is_open:
            return
        self._last = record
        try:
            self._notebook.write_log(self.format(record)[:_MOST_CHARACTERS] + "\n")
        except Exception:  # noqa: BLE001 - a log must not end whoever logs
            self.handleError(record)


def keep_tail(notebook: Notebook, loggers: Iterable[logging.Logger]) -> None:
    """Keep what these loggers say from now on, in place of what was kept for another worker."""
    tail = LogTail(notebook)
    for logger in loggers:
        for handler in [one for one in logger.handlers if isinstance(one, LogTail)]:
            logger.removeHandler(handler)
        logger.addHandler(tail)
