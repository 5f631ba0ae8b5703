"""Steer a process that a template has forked, by the methods of ``subprocess.Popen`` that the plugin uses.

It is the template's child, so only the template learns its status.  Its end is seen by a descriptor of the process
(``pidfd``), and signals go through that: a pid that was used again cannot be meant.
"""

from __future__ import annotations

import contextlib
import os
import select
import signal
import subprocess
import threading
from collections.abc import Callable

__all__ = ["ForkedProcess"]

UNKNOWN = 255
"""The return code of a process whose template was killed: nobody can know it."""


class ForkedProcess:
    """A process that a template has forked.

    Attributes:
        args: its command.
        pid: its number, which is its session's as well.
        returncode: as in ``subprocess``; ``None`` until somebody has asked and it had ended.

    :param status_of: asks the template for the status of an ended process.
    """

    def __init__(self, args: list[str], pid: int, status_of: Callable[[int], int | None]) -> None:
        self.args = args
        self.pid = pid
        self.returncode: int | None = None
        self._status_of = status_of
        self._lock = threading.Lock()
        self._handle = os.pidfd_open(pid)

    def poll(self) -> int | None:
        """Return the return code, ``None`` while the process runs."""
        with self._lock:
            if self.returncode is None and self._has_ended(0):
                status = self._status_of(self.pid)
                self.returncode = UNKNOWN if status is None else status
                os.close(self._handle)
        return self.returncode

    def wait(self, timeout: float | None = None) -> int:
        """Wait for the end; return the return code.

        :raises subprocess.TimeoutExpired: it still ran after *timeout* seconds.
        """
        if self.returncode is None:
            with contextlib.suppress(OSError):  # another thread has seen the end
                self._has_ended(None if timeout is None else timeout * 1000)
        code = self.poll()
        if code is None:
            raise subprocess.TimeoutExpired(self.args, timeout or 0.0)
        return code

    def send_signal(self, number: int) -> None:
        """Send a signal, unless the process has ended."""
        if self.poll() is None:
            with contextlib.suppress(ProcessLookupError):
                signal.pidfd_send_signal(self._handle, number)

    def terminate(self) -> None:
        """Send SIGTERM."""
        self.send_signal(signal.SIGTERM)

    def kill(self) -> None:
        """Send SIGKILL."""
        self.send_signal(signal.SIGKILL)

    def _has_ended(self, milliseconds: float | None) -> bool:
        waiting = select.poll()
        waiting.register(self._handle, select.POLLIN)
        return bool(waiting.poll(milliseconds))
