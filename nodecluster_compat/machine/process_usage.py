"""Ask the kernel how much memory and processor time another process has used.

Not by ``/proc/PID/stat``, which has both: the kernel takes several times as long to write that.
"""

from __future__ import annotations

import _socket
import os
import time
from typing import Final

from msgspec import Struct

from .proc_stat import stat_fields

__all__ = ["Usage", "UsageReader", "usage_of"]

_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")
_MOST_BYTES: Final = 256
_RESIDENT: Final = 1  # proc_pid_statm(5)

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_USER, _SYSTEM = 11, 12  # proc_pid_stat(5), counted from the third field, the state


class Usage(Struct, frozen=True):
    """The resources that a process has used.

    Attributes:
        rss_bytes: its resident memory.
        cpu_seconds: of processor time, user and system.
    """

    rss_bytes: int
    cpu_seconds: float


def usage_of(pid: int) -> Usage | None:
    """Return what a process has used by now; ``None`` for one that is not there."""
    reader = UsageReader()
    try:
        return reader.read(pid)
    finally:
        reader.close()


class UsageReader:
    """Asks again and again what one process has used: with its file kept open that costs a third."""

    def __init__(self) -> None:
        self._fd = -1

    def read(self, pid: int) -> Usage | None:
        """Return what :func:`usage_of` does.

        Args:
            pid: of the process, the same each time.
        """
        try:
            if self._fd < 0:
                self._fd = _open_memory(pid)
            return Usage(_resident_pages(self._fd) * _PAGE_BYTES, _cpu_seconds(pid))
        except (OSError, ValueError, IndexError):
            return None

    def close(self) -> None:
        """Let go of the file; a no-op when that has happened."""
        fd, self._fd = self._fd, -1
        if fd >= 0:
            _socket.close(fd)  # gevent's os.close puts it off


def _open_memory(pid: int) -> int:
    return os.open(f"/proc/{pid}/statm", os.O_RDONLY | os.O_CLOEXEC)


def _resident_pages(fd: int) -> int:
    return int(os.pread(fd, _MOST_BYTES, 0).split()[_RESIDENT])


def _cpu_seconds(pid: int) -> float:
    try:
        return time.clock_gettime(~pid << 3 | 2)  # as clock_getcpuclockid(3), which Python does not have
    except OSError:  # a sandbox may have no such clocks
        fields = stat_fields(pid, of_all=True)
        return (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
