"""Write to a pipe, terminal or socket without waiting, and without O_NONBLOCK for the processes that share it.

``O_NONBLOCK`` belongs to what processes share, not to a descriptor: set on standard error, every child's writes would
fail.  So a pipe or a terminal is opened once more, through ``/proc``, and a socket is told at each send.  Regular files
know no such thing: writing to one waits as long as the disk does.
"""

from __future__ import annotations

import _socket
import os
import select  # noqa: F401 - ``original`` looks for it
import stat
from typing import Final

from ..base.loop import original
from .socket_objects import shared_socket

__all__ = ["Outlet", "takes_more"]

_POLLOUT: Final = 0x004  # spelled out because gevent removes it from the select module
_MOST_AT_ONCE: Final = 4096  # of what a pipe that could not be opened again takes without waiting, if it takes anything
_OPENED_AGAIN: Final = os.O_WRONLY | os.O_NONBLOCK | os.O_NOCTTY | os.O_CLOEXEC


class Outlet:
    """A way of its own to where a descriptor leads now; that may be closed or lead elsewhere later.

    Args:
        fd: stays its owner's.

    Raises:
        OSError: ``fd`` is closed, or no descriptor is left.
    """

    def __init__(self, fd: int) -> None:
        facts = os.fstat(fd)
        self._target = (facts.st_dev, facts.st_ino)
        self._socket: _socket.socket | None = None
        self._asks_first = False
        self._fd = self._opened(fd, facts.st_mode)

    def _opened(self, fd: int, mode: int) -> int:
        if stat.S_ISFIFO(mode) or stat.S_ISCHR(mode):
            try:
                return os.open(f"/proc/self/fd/{fd}", _OPENED_AGAIN)
            except OSError:  # somebody else's, or a pipe that nobody reads
                self._asks_first = True
        copy = os.dup(fd)
        if stat.S_ISSOCK(mode):
            self._socket = shared_socket(copy)
        return copy

    def fileno(self) -> int:
        """Return a descriptor to wait with until more is taken."""
        return self._fd

    def leads_to(self, fd: int) -> bool:
        """Whether ``fd`` still leads there.

        Raises:
            OSError: it is closed.
        """
        facts = os.fstat(fd)
        return self._target == (facts.st_dev, facts.st_ino)

    def write(self, data: bytes | memoryview) -> int:
        """Write as much as is taken now; return how many bytes, 0 when none.

        Raises:
            OSError: nothing more can be written: nobody reads any more, the disk is full.
        """
        try:
            if self._socket is not None:
                return self._socket.send(data, _socket.MSG_DONTWAIT | _socket.MSG_NOSIGNAL)
            if self._asks_first:
                return os.write(self._fd, data[:_MOST_AT_ONCE]) if takes_more(self._fd) else 0
            return os.write(self._fd, data)
        except BlockingIOError:
            return 0

    def close(self) -> None:
        """Give the descriptor back."""
        if self._socket is not None:
            self._socket.close()
        else:
            os.close(self._fd)


def takes_more(fd: int) -> bool:
    """Whether a write to ``fd`` would not wait: something fits, or it fails."""
    poll = original("select", "poll")()
    poll.register(fd, _POLLOUT)
    return bool(poll.poll(0))
