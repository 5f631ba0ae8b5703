"""Keep the status file: have it written in the background when something has happened, and say when that fails.

Of two masters the one in charge writes it.  It is removed with the server, unless another one has written it since.
"""

from __future__ import annotations

import os
import time
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final, Protocol

from ...operations.status_file import StatusFile
from .complaint import Complaint
from .current_settings import settings_in_force

if TYPE_CHECKING:
    from ...machine.background import Background
    from ...roles.status import ClusterStatus
    from .seat import Seat
    from .status_board import StatusBoard
    from .upgrading import Upgrade

__all__ = ["StatusKeeper"]

_FILE: Final = "status file"
_FORMER: Final = "former status file "
_AGAIN_SECONDS: Final = 3.0


if TYPE_CHECKING:

    class _Seat(Seat, Protocol):
        """The arbiter, whose status it is.

        Attributes:
            reexec_pid: of the new master that it started, or 0.
            master_pid: of the old master that started it, or 0.
        """

        reexec_pid: int
        master_pid: int


class StatusKeeper:
    """Keeps the status file of one arbiter.

    Args:
        arbiter: whose it is.
        upgrade: knows which of two masters is in charge.
        board: says what is written.
        background: writes it.
    """

    def __init__(self, arbiter: _Seat, upgrade: Upgrade, board: StatusBoard, background: Background) -> None:
        self._arbiter = arbiter
        self._upgrade = upgrade
        self._board = board
        self._background = background
        self._file = StatusFile()
        self._complaint = Complaint(arbiter.log.warning)
        self._doubled = Complaint(arbiter.log.warning)
        self._path: str | None = None
        self._written: ClusterStatus | None = None
        self._next_try = 0.0

    def turn(self) -> None:
        """Once a turn of the main loop: have the file written when something has happened.

        What changes by itself, as an age or a number of requests does, is no reason.
        """
        if not self._upgrade.is_in_charge:
            return
        self._follow(settings_in_force().status_file)
        if self._path is None or time.monotonic() < self._next_try:
            return
        lasting = self._board.outline().lasting
        if lasting != self._written:
            self._written = lasting
            self._background.do(_FILE, partial(self._write, self._board.status(), self._path))

    def _follow(self, path: str | None) -> None:
        """See to it that no file is left where a reload has said another path."""
        if path != self._path:
            if self._path is not None:
                self._background.do(_FORMER + self._path, partial(self._remove, self._path))
            self._path, self._written, self._next_try = path, None, 0.0

    def close(self) -> None:
        """The server has ended: it has no status any more, whatever was about to be written."""
        if self._path is not None and self._upgrade.is_in_charge:
            self._background.do(_FILE, partial(self._remove, self._path))

    def _told(self, trouble: str, *, is_written: bool) -> None:
        if not is_written:
            self._written, self._next_try = None, time.monotonic() + _AGAIN_SECONDS
            self._complaint.say(trouble)
            return
        self._complaint.withdraw()
        if trouble:
            self._doubled.say(trouble)

    # --- on the thread -------------------------------------------------------------------------

    def _write(self, status: ClusterStatus, path: str) -> None:
        trouble, is_written = "", True
        try:
            other = self._file.write(status, os.path.abspath(path))
            if other not in (0, self._arbiter.pid, self._arbiter.master_pid, self._arbiter.reexec_pid):
                trouble = f"The status file {path} is written by the process with pid {other}, too. "
                trouble += "Give each server its own (status_file)"
        except OSError as error:  # a full disk is no reason to stop serving; the file keeps its age
            trouble, is_written = f"No status file for now: {error}. It is tried again", False
        self._arbiter.loop.call_soon_threadsafe(partial(self._told, trouble, is_written=is_written))

    def _remove(self, path: str) -> None:
        with suppress(OSError):
            self._file.remove(os.path.abspath(path))
