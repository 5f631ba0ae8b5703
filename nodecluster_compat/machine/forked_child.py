"""Keep the worker out of a process that it forks: ``os.fork``, ``pty.fork`` or ``multiprocessing`` in a request.

The connections of clients are as if the clients had left: nothing that the child writes reaches them, and their end is
seen when the worker closes them, not when the child ends.  When the application returns to the server in the child,
the process ends, as a child of ``multiprocessing`` does: streams are flushed, ``atexit`` functions are the worker's and
are not called.

Everywhere ``abandon`` is what a forked child does with an object of its parent's: close the inherited copies of
descriptors, and touch nothing that both share.

What else of the worker would go on in the child depends on its engine, which leaves by itself
(:func:`worker_begins`): threads are not there, a hub with its greenlets is (``gevent_runtime/forked_hub.py``), and a
loop with its tasks (``asyncio_runtime/forked_loop.py``).
"""

from __future__ import annotations

import _socket
import os
import sys
import traceback
from collections.abc import Callable, Iterable
from typing import NoReturn, Protocol
from weakref import WeakSet

from ..base.exit_code import exit_code_of

__all__ = [
    "Inherited",
    "ThisProcess",
    "code_of",
    "detach",
    "end",
    "end_if_child",
    "is_child",
    "keep_from_children",
    "never_resumed",
    "worker_begins",
]


class Inherited(Protocol):
    """Whoever has descriptors that are no child's."""

    def inherited_fds(self) -> Iterable[int]:
        """Return the descriptors, of connections and of listening sockets."""


class ThisProcess:
    """Whether this is one, for whoever cannot call a function to ask."""

    is_child = False
    leave_engine: Callable[[], None] | None = None
    holders: WeakSet[Inherited] = WeakSet()  # noqa: RUF012 - of the process, like the class


def worker_begins(leave_engine: Callable[[], None] | None = None) -> None:
    """In a worker, in its main thread.

    Args:
        leave_engine: called in a child that the worker has forked, in the thread that forked.
    """
    ThisProcess.leave_engine = leave_engine


def keep_from_children(holder: Inherited) -> None:
    """In a process that is forked from now on, the descriptors of ``holder`` lead to nobody."""
    ThisProcess.holders.add(holder)


def is_child() -> bool:
    """Whether this process was forked by a worker, or by such a process."""
    return ThisProcess.is_child


def end_if_child(error: BaseException | None = None) -> None:
    """Where the application has returned to the server: in a child, end this process.

    Args:
        error: what the application raised.
    """
    if ThisProcess.is_child:
        end(code_of(error))


def detach() -> None:
    """In a process that a worker has just forked: leave the worker behind."""
    ThisProcess.is_child = True
    _sever()
    if ThisProcess.leave_engine is not None:
        ThisProcess.leave_engine()


def _sever() -> None:
    """Let descriptors lead to a socket whose other end is closed."""
    holders = list(ThisProcess.holders)
    if not holders:
        return
    ours, other = _socket.socketpair()
    other.close()
    for holder in holders:
        for fd in holder.inherited_fds():
            if fd >= 0:
                os.dup2(ours.fileno(), fd, inheritable=False)
    ours.close()


def code_of(error: BaseException | None) -> int:
    """Return the code that a child ends with; an error is printed."""
    if error is None:
        return 0
    if isinstance(error, SystemExit):
        return exit_code_of(error)
    traceback.print_exception(type(error), error, error.__traceback__)
    return 1


def never_resumed() -> int:
    """Say that a child waits in vain, and return the code that it ends with."""
    sys.stderr.write(
        f"Process {os.getpid()}, which a worker forked, waits for something that only the worker can do: it ends.\n"
    )
    return 1


def end(code: int) -> NoReturn:
    """End a child: flush its streams, and call nothing that is the worker's."""
    for stream in (sys.stdout, sys.stderr):
        try:
            stream.flush()
        except (AttributeError, OSError, ValueError):  # none, broken or closed
            continue
    os._exit(code & 0xFF)
