"""Share a file without a name between processes, which have its descriptor.

It is in memory (``memfd``).  Where Python was built for an old libc it is a temporary file, whose size nobody can fix.
"""

from __future__ import annotations

import _socket
import fcntl
import os
import tempfile
from typing import Final

__all__ = ["NamelessFile"]

_SEALS: Final = (
    getattr(fcntl, "F_SEAL_SHRINK", 0x2) | getattr(fcntl, "F_SEAL_GROW", 0x4) | getattr(fcntl, "F_SEAL_SEAL", 0x1)
)
_ADD_SEALS: Final = getattr(fcntl, "F_ADD_SEALS", 1033)


class NamelessFile:
    """A file without a name, until it is closed.

    Args:
        name: what ``/proc/PID/fd`` shows.
        size: bytes, which nobody can change; ``None``: it grows as it is written.

    Raises:
        OSError: no descriptor or no memory is left for it.
    """

    __slots__ = ("_fd",)

    def __init__(self, name: str, size: int | None = None) -> None:
        self._fd = _new_file(name, may_be_fixed=size is not None)
        if size is not None:
            try:
                _fix_size(self._fd, size)
            except OSError:
                self.close()
                raise

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._fd

    @property
    def is_open(self) -> bool:
        """Whether it can be read and written."""
        return self._fd >= 0

    def close(self) -> None:
        """Let go of the descriptor; a no-op when that has happened.  What was mapped stays while it is used."""
        if self._fd >= 0:
            _socket.close(self._fd)  # gevent's os.close puts it off
            self._fd = -1


def _new_file(name: str, *, may_be_fixed: bool = False) -> int:
    """Return the descriptor of a new, empty file, which is closed at ``exec``.

    Args:
        name: what ``/proc/PID/fd`` shows.
        may_be_fixed: whether :func:`_fix_size` follows.  Otherwise nobody who has the file can seal it, and so keep the
            others from writing.

    Raises:
        OSError: no descriptor is left for it.
    """
    if _has_memfd():
        return os.memfd_create(name, os.MFD_CLOEXEC | (os.MFD_ALLOW_SEALING if may_be_fixed else 0))
    with tempfile.TemporaryFile() as file:
        return os.dup(file.fileno())


def _fix_size(fd: int, size: int) -> None:
    """Give a nameless file its size in bytes, and let nobody change that.

    Raises:
        OSError: there is no memory for it.
    """
    os.ftruncate(fd, size)
    if _has_memfd():
        fcntl.fcntl(fd, _ADD_SEALS, _SEALS)


def _has_memfd() -> bool:
    return hasattr(os, "memfd_create")
