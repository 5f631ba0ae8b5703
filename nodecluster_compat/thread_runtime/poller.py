"""Wait for descriptors, and for other threads that call in: one epoll, one eventfd.

It replaces the ``selectors`` object and the ``PollableMethodQueue`` of gunicorn's thread worker, with the methods that
this uses, and has both directions of a descriptor.  A wake-up that is under way already is not written again, and all
deferred calls are run together: a request costs a system call or two less.

Any thread may register, unregister and defer.  Callbacks run in the thread that turns.

An application may close a descriptor that is watched here: a websocket's own thread closes its socket when it likes.
The kernel then forgets it without a word, and gives its number to the next one.  So registering a number takes it over,
and unregistering says for which callback.
"""

from __future__ import annotations

import os
import select
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from functools import partial
from typing import Any, Final, NamedTuple

__all__ = ["Poller"]

_READABLE: Final = ~select.EPOLLOUT  # an end or an error is read
_WRITABLE: Final = select.EPOLLOUT | select.EPOLLERR | select.EPOLLHUP
_WAKE: Final = (1).to_bytes(8, "little")

Callback = Callable[[], object]


class _Watch(NamedTuple):
    """What is to be called for one descriptor."""

    reader: Callback | None
    writer: Callback | None

    @property
    def mask(self) -> int:
        return (select.EPOLLIN if self.reader else 0) | (select.EPOLLOUT if self.writer else 0)


_NOTHING: Final = _Watch(None, None)


class Poller:
    """The descriptors that one thread waits for."""

    def __init__(self) -> None:
        self._epoll = select.epoll()
        self._watches: dict[int, _Watch] = {}
        self._deferred: deque[Callback] = deque()
        self._is_waking = False
        self._wake_fd = os.eventfd(0, os.EFD_NONBLOCK | os.EFD_CLOEXEC)
        self._epoll.register(self._wake_fd, select.EPOLLIN)

    # --- descriptors ---------------------------------------------------------------------------

    def add_reader(self, fd: int, callback: Callback) -> None:
        """Call back whenever ``fd`` is readable or closed.

        Raises:
            OSError: it is not open, or cannot be waited for.
            ValueError: it is negative: of a socket that was closed.
        """
        self._put(fd, reader=callback)

    def remove_reader(self, fd: int, callback: Callback | None = None) -> None:
        """Stop watching ``fd`` for reading.

        Args:
            fd: it may be closed.
            callback: where the number may be another descriptor's by now: only if this is called for it.
        """
        watch = self._watches.get(fd, _NOTHING)
        if watch.reader is not None and callback in (None, watch.reader):
            self._leave(fd, watch._replace(reader=None))

    def add_writer(self, fd: int, callback: Callback) -> None:
        """Call back whenever ``fd`` is writable or broken; see :meth:`add_reader`."""
        self._put(fd, writer=callback)

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing."""
        watch = self._watches.get(fd, _NOTHING)
        if watch.writer is not None:
            self._leave(fd, watch._replace(writer=None))

    def _put(self, fd: int, **direction: Callback) -> None:
        before = self._watches.get(fd)
        watch = (before or _NOTHING)._replace(**direction)
        if before is not None:
            try:
                self._epoll.modify(fd, watch.mask)
            except FileNotFoundError:  # what had this number was closed while it was watched
                before, watch = None, _NOTHING._replace(**direction)
        if before is None:
            self._epoll.register(fd, watch.mask)
        self._watches[fd] = watch

    def _leave(self, fd: int, watch: _Watch) -> None:
        with suppress(OSError):  # it was closed, and the kernel has forgotten it
            if watch.mask:
                self._watches[fd] = watch
                self._epoll.modify(fd, watch.mask)
            else:
                del self._watches[fd]
                self._epoll.unregister(fd)

    # --- as gunicorn calls it ------------------------------------------------------------------

    def register(self, fileobj: Any, _: int, callback: Callable[[Any], object]) -> None:  # noqa: ANN401 - any with a fileno
        """Call ``callback(fileobj)`` whenever it is readable, as ``selectors`` and gunicorn do between them."""
        self.add_reader(_fd_of(fileobj), partial(callback, fileobj))

    def unregister(self, fileobj: Any) -> None:  # noqa: ANN401 - as above
        """Stop watching.

        Raises:
            KeyError: it is not watched.
        """
        fd = _fd_of(fileobj)
        if fd not in self._watches:
            raise KeyError(fd)
        self.remove_reader(fd)

    def defer(self, callback: Callable[..., object], *args: object) -> None:
        """Call back in the thread that turns; may be called in any, and in a signal handler."""
        self._deferred.append(partial(callback, *args))
        self.wake()

    def wake(self) -> None:
        """Let the thread that turns do so at once."""
        if not self._is_waking:
            self._is_waking = True
            os.write(self._wake_fd, _WAKE)

    # --- turning -------------------------------------------------------------------------------

    def turn(self, seconds: float) -> None:
        """Wait at most so long, then call the callbacks that are due."""
        for fd, mask in self._epoll.poll(max(0.0, seconds)):
            if fd == self._wake_fd:
                os.read(fd, 8)
                self._is_waking = False  # first: who defers from now on wakes again
            else:
                self._call(fd, mask)
        for _ in range(len(self._deferred)):
            self._deferred.popleft()()
        if self._deferred:
            self.wake()

    def _call(self, fd: int, mask: int) -> None:
        watch = self._watches.get(fd)  # a callback before may have taken it off
        if watch is not None and watch.reader is not None and mask & _READABLE:
            watch.reader()
        watch = self._watches.get(fd)
        if watch is not None and watch.writer is not None and mask & _WRITABLE:
            watch.writer()

    def close(self) -> None:
        """Watch nothing any more."""
        if not self._epoll.closed:
            self._watches.clear()
            self._epoll.close()
            os.close(self._wake_fd)
            self._is_waking = True  # nobody is to be woken


def _fd_of(fileobj: Any) -> int:  # noqa: ANN401 - as above
    fd: int = fileobj if isinstance(fileobj, int) else fileobj.fileno()
    if fd < 0:
        raise ValueError(f"expected an open descriptor, got that of {fileobj!r}")
    return fd
