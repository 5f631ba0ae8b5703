"""Read and write a worker's standard streams: ``worker.process.stdin``, ``stdout``, ``stderr``, ``stdio[n]``.

Made where the settings ``silent`` or ``stdio`` ask for pipes (Node: ``child_process`` documentation).  They live in the
primary's loop and never block it.
"""

from __future__ import annotations

import os
from collections import deque
from typing import Final

from ..base.arguments import checked_bytes
from ..base.emitter import Emitter
from ..base.loop import Loop
from ..errors import ChannelClosed

__all__ = ["ReadablePipe", "WritablePipe"]

_SLICE_BYTES: Final = 65536


class ReadablePipe(Emitter):
    """What a worker writes.  Events: ``data(bytes)``, ``end()``.

    Nothing is read before the first ``data`` listener, so nothing is lost; a worker that writes more than the kernel
    holds waits for it.
    """

    def __init__(self, fd: int, loop: Loop) -> None:
        super().__init__()
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = loop
        self._flowing = False
        self.is_open = True
        self.on("new_listener", self._listener_added)

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._fd if self.is_open else -1

    def close(self) -> None:
        """Read no more."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_reader(self._fd)
            os.close(self._fd)

    def abandon(self) -> None:
        """In a forked child: close the inherited copy."""
        if self.is_open:
            os.close(self._fd)

    def _listener_added(self, event: str, _: object) -> None:
        if event in ("data", "end") and not self._flowing and self.is_open:
            self._flowing = True
            self._loop.add_reader(self._fd, self._readable)

    def _readable(self) -> None:
        try:
            data = os.read(self._fd, _SLICE_BYTES)
        except BlockingIOError:
            return
        except OSError:
            data = b""
        if data:
            self.emit("data", data)
        else:
            self.close()
            self.emit("end")


class WritablePipe:
    """What a worker reads."""

    def __init__(self, fd: int, loop: Loop) -> None:
        os.set_blocking(fd, False)
        self._fd = fd
        self._loop = loop
        self._queue: deque[bytes] = deque()
        self._ending = False
        self.is_open = True

    def fileno(self) -> int:
        """Return the descriptor, -1 once closed."""
        return self._fd if self.is_open else -1

    def write(self, data: bytes | str) -> None:
        """Write bytes, or text as UTF-8; what the worker does not read yet waits here.

        Raises:
            ChannelClosed: the worker has closed its end, or :meth:`end` was called.
        """
        if not self.is_open or self._ending:
            raise ChannelClosed("the pipe is closed: the worker has ended, or end() was called")
        self._queue.append(checked_bytes(data))
        if len(self._queue) == 1:
            self._loop.add_writer(self._fd, self._writable)

    def end(self) -> None:
        """Close once everything is written: the worker reads end-of-file."""
        self._ending = True
        if not self._queue:
            self.close()

    def close(self) -> None:
        """Close at once."""
        if self.is_open:
            self.is_open = False
            self._loop.remove_writer(self._fd)
            os.close(self._fd)

    def abandon(self) -> None:
        """In a forked child: close the inherited copy."""
        if self.is_open:
            os.close(self._fd)

    def _writable(self) -> None:
        try:
            sent = os.write(self._fd, self._queue[0])
        except BlockingIOError:
            return
        except OSError:
            self.close()
            return
        if sent < len(self._queue[0]):
            self._queue[0] = self._queue[0][sent:]
            return
        self._queue.popleft()
        if not self._queue:
            self._loop.remove_writer(self._fd)
            if self._ending:
                self.close()
