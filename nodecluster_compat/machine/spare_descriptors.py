"""Keep two descriptors in reserve, so that two can always be received: a connection, and what was read of it.

The kernel throws away a descriptor that comes with a message if the process has no number left for it, and there is no
way to ask before.  So code that must not lose one gives up its spares first.  One thread at a time.
"""

from __future__ import annotations

import _socket
import contextlib
import os
from typing import Final

__all__ = ["SpareDescriptors"]

_MOST: Final = 2


class SpareDescriptors:
    """Open descriptors that stand for nothing; without them, where none was left, this is a no-op."""

    def __init__(self) -> None:
        self._fds: list[int] = []
        self.restore()

    def give_up(self) -> None:
        """Make room for two descriptors."""
        while self._fds:
            _socket.close(self._fds.pop())  # gevent's os.close puts it off

    def restore(self) -> None:
        """Have the spares again, if there are any to be had."""
        with contextlib.suppress(OSError):
            while len(self._fds) < _MOST:
                self._fds.append(os.open(os.devnull, os.O_RDONLY | os.O_CLOEXEC))
