"""Find out whether a configuration's log can be opened, where a disk that hangs holds up nobody.

gunicorn opens the log anew at each reload, on the arbiter's own thread.  A disk that hangs, a FIFO that nobody reads or
a syslog that accepts nobody would keep that for ever: nothing would be reaped, started or ended any more.  So what will
be opened is opened on a thread first, and a reload fails whose log cannot be.
"""

from __future__ import annotations

import errno
import logging
import logging.handlers
import os
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from gunicorn import glogging

from ...errors import SettingsError
from ...machine.background import Background
from ...operations.stuck_handlers import forsake_stuck_handlers, known_handlers

if TYPE_CHECKING:
    from collections.abc import Iterable

    from ..gunicorn_types import Settings

__all__ = ["LogProbe"]

_SECONDS: Final = 1.0
_MOMENT_SECONDS: Final = 0.05
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | os.O_CLOEXEC | os.O_NONBLOCK


class LogProbe:
    """Opens what the logs of one arbiter lead to, and closes it."""

    def __init__(self) -> None:
        self._stuck: Background | None = None

    def check(self, cfg: Settings) -> None:
        """See to it that gunicorn's ``setup`` of the log waits for nothing.

        Raises:
            SettingsError: it would.
        """
        paths = _files_of(cfg)
        if self._is_stuck() or not self._are_openable(paths, cfg):
            told = ", ".join(paths) or "syslog"
            raise SettingsError(f"expected the log ({told}) to be opened within {_SECONDS:g} s, but it hangs")
        forsake_stuck_handlers(_MOMENT_SECONDS)  # ``logging.config`` closes all handlers, by their locks

    def _is_stuck(self) -> bool:
        """Whether the thread of an earlier check still waits: it is not given another one."""
        if self._stuck is not None and not self._stuck.is_running:
            self._stuck.abandon()
            self._stuck = None
        return self._stuck is not None

    def _are_openable(self, paths: Iterable[str], cfg: Settings) -> bool:
        hanging: list[str] = []
        thread = Background(lambda _: None)
        for path in paths:
            thread.do(path, partial(_open, path, hanging))
        if cfg.syslog:
            thread.do("syslog", partial(_connect, cfg.syslog_addr))
        if thread.finish(_SECONDS):
            thread.abandon()
        else:
            self._stuck = thread
        return self._stuck is None and not hanging


def _files_of(cfg: Settings) -> list[str]:
    """Return the files that will be opened, as far as that is known before."""
    found = [cfg.errorlog, cfg.accesslog]
    if cfg.logconfig_dict:
        handlers = cfg.logconfig_dict.get("handlers") or {}
        found += [one.get("filename") for one in handlers.values() if isinstance(one, dict)]
    elif cfg.logconfig or cfg.logconfig_json:  # the files of before, most likely
        found += [one.baseFilename for one in known_handlers() if isinstance(one, logging.FileHandler)]
    return list(dict.fromkeys(os.fspath(one) for one in found if one and one != "-"))


def _open(path: str, hanging: list[str]) -> None:
    try:
        os.close(os.open(path, _APPEND, 0o666))
    except OSError as error:  # others are found, and told, by whoever opens it for good
        if error.errno == errno.ENXIO:  # a FIFO that nobody reads
            hanging.append(path)


def _connect(address: str) -> None:
    kind, place = glogging.parse_syslog_address(address)
    with suppress(OSError):
        made: Any = logging.handlers.SysLogHandler(address=place, socktype=kind)
        made.close()
