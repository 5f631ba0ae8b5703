"""Look at what has come of a connection, and leave it there: without waiting, by its descriptor alone.

The C extension has the twin (``native/peeking.c``), which needs no socket object around the descriptor; :func:`peeker`
chooses.
"""

from __future__ import annotations

import _socket
import select
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, TypeAlias

from ..base.loop import original
from ..base.native import in_force
from .socket_objects import AS_IT_IS

if TYPE_CHECKING:
    from ..base.native import Choice

__all__ = ["MOST_PEEKED", "Peek", "is_hung_up", "peek", "peeker"]

MOST_PEEKED: Final = 2048
"""What is looked at, at most, in bytes."""

_GONE: Final = select.POLLHUP | select.POLLERR | select.POLLNVAL
_FLAGS: Final = _socket.MSG_PEEK | _socket.MSG_DONTWAIT

Peek: TypeAlias = "Callable[[int, int], bytes | None]"
"""``peek(fd, most)`` returns up to ``most`` bytes (1 to :data:`MOST_PEEKED`) of what has come of a connection and was
not read: ``None`` where nothing has come yet; ``b""`` where nothing will, since it has ended or was reset."""


def peeker(choice: Choice) -> Peek:
    """Return what serves: C or Python."""
    return _peek if choice.module is None else choice.module.peek


def is_hung_up(fd: int) -> bool:
    """Whether nobody can read an answer any more, whatever has come: it was reset, or both directions are shut.

    Where a client closes a unix socket both are; one of TCP sends only the end of its own, as who waits for an answer
    may do, and resets once it is sent something.
    """
    watch = original("select", "poll")()
    watch.register(fd, 0)
    return any(events & _GONE for _, events in watch.poll(0))


def _peek(fd: int, most: int) -> bytes | None:
    if fd < 0 or not 0 < most <= MOST_PEEKED:
        raise ValueError(f"expected a descriptor, and 1 to {MOST_PEEKED} bytes to look at, got {fd} and {most}")
    try:
        sock = _socket.socket(_socket.AF_UNIX, AS_IT_IS, 0, fd)  # of any family: nothing asks for it
    except OSError:
        return b""
    try:
        return sock.recv(most, _FLAGS)
    except BlockingIOError:
        return None
    except OSError:
        return b""
    finally:
        sock.detach()


peek: Final = peeker(in_force())
"""Of this process."""
