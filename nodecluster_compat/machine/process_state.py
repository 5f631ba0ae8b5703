"""Read from ``/proc`` whether another process runs, whose child it is, and which signals it handles."""

from __future__ import annotations

import contextlib
from typing import Final, Literal, TypeAlias

from .proc_stat import stat_fields

__all__ = ["Condition", "catches", "condition_in", "condition_of", "is_ending", "parent_of_dead", "seconds_run"]

Condition: TypeAlias = Literal["running", "sleeping", "in the kernel", "stopped", "dead"]

_NANOSECONDS: Final = 1e9
_FLAGS, _PF_EXITING = 6, 0x4  # proc_pid_stat(5), the ninth field; linux/sched.h

# proc_pid_stat(5), the third field.
_CONDITIONS: Final[dict[bytes, Condition]] = {
    b"R": "running",
    b"S": "sleeping",
    b"I": "sleeping",
    b"D": "in the kernel",
    b"T": "stopped",
    b"t": "stopped",
}


def condition_of(pid: int) -> Condition:
    """Return what a process does; one that is not there, or not reaped yet, is dead."""
    with contextlib.suppress(OSError):
        return condition_in(stat_fields(pid))
    return "dead"


def condition_in(fields: list[bytes]) -> Condition:
    """Return what a process does, from the fields of its ``/proc/PID/stat``; none mean that it is dead."""
    return _CONDITIONS.get(fields[0], "dead") if fields else "dead"


def is_ending(pid: int) -> bool:
    """Whether a process is gone, or on its way: its descriptors are closed a moment before its children are others'."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        return bool(int(stat_fields(pid)[_FLAGS]) & _PF_EXITING)
    return True


def parent_of_dead(pid: int) -> int:
    """Return the parent of a process that has ended and is not reaped yet; 0 for any other."""
    with contextlib.suppress(OSError, ValueError):
        state, parent = stat_fields(pid)[:2]
        return int(parent) if state == b"Z" else 0
    return 0


def seconds_run(pid: int) -> float:
    """Return how long the first thread of a process has run on a processor; 0 where nobody knows."""
    with contextlib.suppress(OSError, ValueError, IndexError), open(f"/proc/{pid}/schedstat", "rb") as schedstat:
        return int(schedstat.read().split()[0]) / _NANOSECONDS
    return 0.0


def catches(pid: int, signal: int) -> bool:
    """Whether a process has a handler for a signal, which else might end it."""
    with contextlib.suppress(OSError, ValueError), open(f"/proc/{pid}/status", "rb") as status:
        for line in status:
            if line.startswith(b"SigCgt:"):
                return bool(int(line.split()[1], 16) >> (signal - 1) & 1)
    return False
