"""Make a file without a name, which processes share by its descriptor.

It is in memory (``memfd``).  Where Python was built for an old libc it is a temporary file, whose size nobody can fix.
"""

from __future__ import annotations

import fcntl
import os
import tempfile
from typing import Final

__all__ = ["fix_size", "nameless_file"]

_SEALS: Final = (
    getattr(fcntl, "F_SEAL_SHRINK", 0x2) | getattr(fcntl, "F_SEAL_GROW", 0x4) | getattr(fcntl, "F_SEAL_SEAL", 0x1)
)
_ADD_SEALS: Final = getattr(fcntl, "F_ADD_SEALS", 1033)


def nameless_file(name: str, *, may_be_fixed: bool = False) -> int:
    """Return the descriptor of a new, empty file, which is closed at ``exec``.

    Args:
        name: what ``/proc/PID/fd`` shows.
        may_be_fixed: whether :func:`fix_size` follows.  Otherwise nobody who has the file can seal it, and so keep the
            others from writing.

    Raises:
        OSError: no descriptor is left for it.
    """
    if _has_memfd():
        return os.memfd_create(name, os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if may_be_fixed else 0))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def fix_size(fd: int, size: int) -> None:
    """Give a nameless file its size in bytes, and let nobody change that.

    Raises:
        OSError: there is no memory for it.
    """
    os.ftruncate(fd, size)
    if _has_memfd():
        fcntl.fcntl(fd, _ADD_SEALS, _SEALS)


def _has_memfd() -> bool:
    return hasattr(os, "memfd_create")
