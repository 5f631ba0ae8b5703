"""Say whether any thread of another process runs, and for how long all of them have.

The first thread of a worker that has others may sleep because another one has the interpreter's lock: that worker is at
work, or waits for a processor with the lock in its hand.

Whoever asks holds a lock, so that the first thread alone counts where there are very many.

How long they have run is told by the process's own clock (clock_getcpuclockid(3)), in one system call; where a kernel
keeps that to itself, ``/proc`` is read, which costs fifty times as much.
"""

from __future__ import annotations

import contextlib
import os
import time
from collections.abc import Iterator
from typing import Final

from .proc_stat import stat_fields
from .process_state import Condition, condition_in, condition_of, seconds_run

__all__ = ["seconds_all_ran", "state_of_any"]

_MOST: Final = 64  # six microseconds of a processor each
_THREADS: Final = 17  # proc_pid_stat(5), the twentieth field, counted from the state


def state_of_any(pid: int) -> Condition:
    """Return what a process does: ``running`` if any of its threads can run, else what its first one does."""
    fields = _fields(pid)
    condition = condition_in(fields)
    if condition == "sleeping" and any(condition_of(thread) == "running" for thread in _others(pid, fields)):
        return "running"
    return condition


def seconds_all_ran(pid: int) -> float:
    """Return how long the threads of a process have run on a processor; 0 where nobody knows."""
    if pid > 0:
        with contextlib.suppress(OSError):
            return time.clock_gettime(_clock_of(pid))
    return seconds_run(pid) + sum(map(seconds_run, _others(pid, _fields(pid))))


def _clock_of(pid: int) -> int:
    """Return what the C library makes of a process's id: CPUCLOCK_SCHED for all of its threads."""
    return (~pid << 3) | 2


def _fields(pid: int) -> list[bytes]:
    """Return the fields of ``/proc/PID/stat``; none where it is not there."""
    with contextlib.suppress(OSError):
        return stat_fields(pid)
    return []


def _others(pid: int, fields: list[bytes]) -> Iterator[int]:
    """Yield the ids of the threads after the first one, unless there are too many of them to look at.

    ``/proc`` has them as it has processes, though unlisted.
    """
    with contextlib.suppress(OSError, ValueError, IndexError):
        if 1 < int(fields[_THREADS]) <= _MOST:
            yield from (thread for thread in map(int, os.listdir(f"/proc/{pid}/task")) if thread != pid)
