"""Read the line of numbers that ``/proc/PID/stat`` is."""

from __future__ import annotations

import os
from typing import Final

__all__ = ["stat_fields"]

_MOST_BYTES: Final = 4096


def stat_fields(pid: int, *, of_all: bool = False) -> list[bytes]:
    """Return the fields of proc_pid_stat(5) from the third one on, which is the state.

    Args:
        pid: of the process, or of a thread.
        of_all: sums are those of all threads, for which the kernel looks at each of them; else this one's.

    Raises:
        OSError: it is not there.
    """
    fd = os.open(f"/proc/{pid}/stat" if of_all else f"/proc/{pid}/task/{pid}/stat", os.O_RDONLY | os.O_CLOEXEC)
    try:
        line = os.read(fd, _MOST_BYTES)  # in one read: it takes the kernel some time to write it
    finally:
        os.close(fd)
    return line.rpartition(b")")[2].split()  # the command, in brackets, may hold anything
