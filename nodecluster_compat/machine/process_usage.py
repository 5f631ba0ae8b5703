"""Read from ``/proc`` how much memory and processor time another process has used."""

from __future__ import annotations

import contextlib
import os
from typing import Final

from msgspec import Struct

from .proc_stat import stat_fields

__all__ = ["Usage", "usage_of"]

_TICKS: Final = os.sysconf("SC_CLK_TCK")
_PAGE_BYTES: Final = os.sysconf("SC_PAGE_SIZE")

# proc_pid_stat(5), counted from the third field, the state.
_USER: Final = 11
_SYSTEM: Final = 12
_RESIDENT: Final = 21


class Usage(Struct, frozen=True):
    """What a process has used.

    Attributes:
        rss_bytes: its resident memory.
        cpu_seconds: of processor time, user and system.
    """

    rss_bytes: int
    cpu_seconds: float


def usage_of(pid: int) -> Usage | None:
    """Return what a process has used by now; ``None`` for one that is not there."""
    with contextlib.suppress(OSError, ValueError, IndexError):
        fields = stat_fields(pid)
        cpu = (int(fields[_USER]) + int(fields[_SYSTEM])) / _TICKS
        return Usage(int(fields[_RESIDENT]) * _PAGE_BYTES, cpu)
    return None
