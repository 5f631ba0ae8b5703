"""Check whether a configuration's log can be opened, so that a disk that hangs holds up nobody.

gunicorn opens the log anew at each reload, on the arbiter's own thread.  A disk that hangs, a FIFO that nobody reads or
a syslog that accepts nobody would keep that thread for ever: no worker would be reaped, started or ended any more.  So
the log is opened on another thread first, and if it cannot be opened the reload fails.
"""

from __future__ import annotations

import errno
import logging.handlers
import os
import stat
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...errors import SettingsError
from ...machine.background import Background
from ...operations.stuck_handlers import leave_out_stuck_handlers
from .log_targets import LogTarget, targets_of

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["LogProbe"]

_SECONDS: Final = 3.0
_MOMENT_SECONDS: Final = 0.05
_ANY: Final = os.O_CLOEXEC | os.O_NONBLOCK
_APPEND: Final = os.O_WRONLY | os.O_APPEND | os.O_CREAT | _ANY


class LogProbe:
    """Opens what the logs of one arbiter lead to, and closes it."""

    def __init__(self) -> None:
        self._stuck: _Trial | None = None

    @contextmanager
    def opened(self, cfg: Settings) -> Iterator[None]:
        """See to it that gunicorn's ``setup`` of the log, which is called inside, waits for nothing.

        Raises:
            SettingsError: it would.
        """
        trial = self._tried(cfg)
        try:
            leave_out_stuck_handlers(_MOMENT_SECONDS)  # ``logging.config`` closes all handlers, by their locks
            yield
        finally:
            trial.close()

    def _tried(self, cfg: Settings) -> _Trial:
        if self._stuck is not None and not self._stuck.is_running:
            self._stuck.close()
            self._stuck = None
        trial = self._stuck or _Trial(cfg)  # while the thread of an earlier one waits there is no other
        if trial.is_running:
            self._stuck = trial
        if trial.trouble:
            trial.close()
            raise SettingsError(trial.trouble)
        return trial

    def abandon(self) -> None:
        """In a forked child: close what is open."""
        if self._stuck is not None:
            self._stuck.close()


class _Trial:
    """Opens what a log leads to, on a thread.

    FIFOs stay open until :meth:`close`.  Otherwise whoever reads one would see its only writer go, and leave; and
    ``setup`` would wait for another reader.

    Args:
        cfg: of the log.

    Attributes:
        trouble: what ``setup`` would wait for; empty for nothing.
    """

    def __init__(self, cfg: Settings) -> None:
        self._held: list[int] = []
        self._hanging: list[str] = []
        self._at = "its configuration"
        self._is_closed = False
        self._thread = Background(lambda _: None)
        self._thread.do("log", partial(self._open_all, cfg))
        self.trouble = self._outcome()

    @property
    def is_running(self) -> bool:
        """Whether the thread still waits for something."""
        return self._thread.is_running

    def _outcome(self) -> str:
        if not self.is_running:
            return "expected to open the log on a thread, but the system has none left"
        is_done = self._thread.finish(_SECONDS)
        told = ", ".join(self._hanging if is_done else [*self._hanging, self._at])
        return f"expected the log ({told}) to be opened within {_SECONDS:g} s, but it hangs" if told else ""

    def close(self) -> None:
        """Close what is open, as far as the thread is not in the middle of it."""
        while self._held:
            os.close(self._held.pop())
        if not self.is_running and not self._is_closed:
            self._is_closed = True
            self._thread.abandon()

    # --- on the thread -------------------------------------------------------------------------

    def _open_all(self, cfg: Settings) -> None:
        for target in targets_of(cfg):
            self._at = str(target)
            if target.is_syslog:
                _connect(target)
            else:
                self._open(target.place)

    def _open(self, path: str) -> None:
        try:
            opened = os.open(path, _APPEND, 0o666)
        except (OSError, ValueError) as error:  # others are found, and told, by whoever opens it for good
            if getattr(error, "errno", 0) == errno.ENXIO and _is_fifo(path):
                self._hanging.append(path)
            return
        if not stat.S_ISFIFO(os.fstat(opened).st_mode):
            os.close(opened)
        else:
            self._held.append(opened)
            with suppress(OSError):  # it may be forbidden to read
                self._held.append(os.open(path, os.O_RDWR | _ANY))  # so that there is a reader, whoever leaves


def _is_fifo(path: str) -> bool:
    """Whether it is a FIFO, which nobody reads: a socket or a device that is missing gives the same error."""
    try:
        return stat.S_ISFIFO(os.stat(path).st_mode)
    except OSError:
        return False


def _connect(target: LogTarget) -> None:
    with suppress(OSError):
        made: Any = logging.handlers.SysLogHandler(address=target.place, socktype=target.kind)
        made.close()
