"""Keep one descriptor in reserve, so that one can always be received.

The kernel throws away a descriptor that comes beside a message when the process has no number left for it, and there is
no way to ask before.  So whoever must not lose one gives its spare up first.  One thread at a time.
"""

from __future__ import annotations

import _socket
import contextlib
import os
from typing import Final

__all__ = ["SpareDescriptor"]

_NONE: Final = -1


class SpareDescriptor:
    """An open descriptor that stands for nothing; without it, where none was left, this is a no-op."""

    def __init__(self) -> None:
        self._fd = _NONE
        self.restore()

    def give_up(self) -> None:
        """Make room for one descriptor."""
        if self._fd != _NONE:
            _socket.close(self._fd)  # gevent's os.close puts it off
            self._fd = _NONE

    def restore(self) -> None:
        """Have a spare again, if there is one to be had."""
        if self._fd == _NONE:
            with contextlib.suppress(OSError):
                self._fd = os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC)
