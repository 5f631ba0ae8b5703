"""Ask the kernel how much of what was sent on a connection the other host has not acknowledged."""

from __future__ import annotations

from array import array
from contextlib import suppress
from fcntl import ioctl
from termios import TIOCOUTQ

__all__ = ["unarrived"]


def unarrived(fd: int) -> int:
    """Return how many bytes the other host has not acknowledged yet; 0 where the descriptor is none of a socket.

    A client that reads slowly makes it less and less, also while it says nothing; one that is gone would have reset.
    """
    waiting = array("i", [0])
    with suppress(OSError, ValueError):
        ioctl(fd, TIOCOUTQ, waiting)
    return waiting[0]
