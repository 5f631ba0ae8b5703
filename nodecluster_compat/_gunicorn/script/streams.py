"""Redirect a script worker's stdin, stdout, stderr and further descriptors: the settings ``silent`` and ``stdio``.

Each setting is about one number.  Everything that a worker is born with, such as its channels, must have another: so
while one is made, the numbers that its streams will take are occupied.
"""

from __future__ import annotations

import fcntl
import os
import socket
from collections.abc import Iterator
from contextlib import contextmanager
from typing import TYPE_CHECKING, Final

from ...roles.pipes import DuplexPipe, Pipe, ReadablePipe, WritablePipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...base.loop import Loop
    from ...roles.spawn_settings import Stream
    from ...roles.worker_process import WorkerProcess

__all__ = ["WorkerStreams", "occupied"]

_STANDARD: Final = 3


@contextmanager
def occupied(streams: Sequence[Stream]) -> Iterator[None]:
    """Leave the numbers of these streams to nothing that is opened meanwhile."""
    placeholders = [number for number in _taken(streams) if _occupied(number)]
    try:
        yield
    finally:
        for number in placeholders:
            os.close(number)


class WorkerStreams:
    """What one worker is born with.

    Args:
        streams: what each descriptor is to be.

    Raises:
        OSError: one of them is not open, or no descriptors are left.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        for stream in streams:
            if isinstance(stream, int):
                os.fstat(stream)  # here, where somebody hears of it
        self._streams = streams
        self._ours: dict[int, int] = {}
        self._theirs: dict[int, int] = {}
        try:
            for number, stream in enumerate(streams):
                if stream == "pipe":
                    self._ours[number], self._theirs[number] = _ends(number)
        except OSError:
            self.close()
            raise

    def attach(self, process: WorkerProcess, loop: Loop) -> None:
        """In the primary: keep our ends."""
        for fd in self._theirs.values():
            os.close(fd)
        process.stdio = [None] * len(self._streams)
        for number, fd in self._ours.items():
            process.stdio[number] = _pipe_class(number)(fd, loop)
        ends = [*process.stdio, None, None, None]
        process.stdin, process.stdout, process.stderr = ends[:3]  # type: ignore[assignment]

    def close(self) -> None:
        """There is no worker after all."""
        for fd in (*self._ours.values(), *self._theirs.values()):
            os.close(fd)

    def take(self) -> None:
        """In the worker: put everything in its place."""
        for fd in self._ours.values():
            os.close(fd)
        above = max(len(self._streams), _STANDARD)  # so that nothing stands where something else will
        taken = {number: _moved(fd, above) for number, fd in self._theirs.items()}
        for number, stream in enumerate(self._streams):
            if stream == "ignore":
                taken[number] = _moved(os.open(os.devnull, os.O_RDWR), above)
            elif isinstance(stream, int) and stream != number:
                taken[number] = fcntl.fcntl(stream, fcntl.F_DUPFD_CLOEXEC, above)
        for number, fd in taken.items():
            os.dup2(fd, number, inheritable=number < _STANDARD)
            os.close(fd)


def _ends(number: int) -> tuple[int, int]:
    """Return the primary's end and the worker's.

    The standard streams are real pipes, because programs open ``/dev/stdout`` again, which a socket does not allow.
    """
    if number >= _STANDARD:
        ours, theirs = socket.socketpair()
        for end in (ours, theirs):
            end.setblocking(True)  # whatever socket.setdefaulttimeout says
        return ours.detach(), theirs.detach()
    reading, writing = os.pipe()
    return (writing, reading) if number == 0 else (reading, writing)


def _pipe_class(number: int) -> type[Pipe]:
    if number >= _STANDARD:
        return DuplexPipe
    return WritablePipe if number == 0 else ReadablePipe


def _moved(fd: int, above: int) -> int:
    moved = fcntl.fcntl(fd, fcntl.F_DUPFD_CLOEXEC, above)
    os.close(fd)
    return moved


def _taken(streams: Sequence[Stream]) -> list[int]:
    return [number for number, stream in enumerate(streams) if stream not in ("ipc", "inherit")]


def _occupied(number: int) -> bool:
    """Open something at this number, unless it is open: another thread may open a descriptor at any moment."""
    source = os.open(os.devnull, os.O_RDWR)
    if source == number:
        return True
    lowest = fcntl.fcntl(source, fcntl.F_DUPFD_CLOEXEC, number)
    os.close(source)
    if lowest != number:
        os.close(lowest)
    return lowest == number
