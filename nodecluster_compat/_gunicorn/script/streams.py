"""Redirect a script worker's stdin, stdout, stderr and further descriptors: the settings ``silent`` and ``stdio``."""

from __future__ import annotations

import os
from typing import TYPE_CHECKING

from ...roles.pipes import ReadablePipe, WritablePipe

if TYPE_CHECKING:
    from collections.abc import Sequence

    from ...base.loop import Loop
    from ...roles.spawn_settings import Stream
    from ...roles.worker_handle import WorkerProcess

__all__ = ["WorkerStreams"]


class WorkerStreams:
    """What one worker is born with.

    Args:
        streams: what each descriptor is to be.
    """

    def __init__(self, streams: Sequence[Stream]) -> None:
        self._streams = streams
        self._ours: dict[int, int] = {}
        self._theirs: dict[int, int] = {}
        for number, stream in enumerate(streams):
            if stream == "pipe":
                reading, writing = os.pipe()
                self._ours[number], self._theirs[number] = (writing, reading) if number == 0 else (reading, writing)

    def attach(self, process: WorkerProcess, loop: Loop) -> None:
        """In the primary: keep our ends."""
        for fd in self._theirs.values():
            os.close(fd)
        process.stdio = [None] * len(self._streams)
        for number, fd in self._ours.items():
            process.stdio[number] = WritablePipe(fd, loop) if number == 0 else ReadablePipe(fd, loop)
        ends = [*process.stdio, None, None, None]
        process.stdin, process.stdout, process.stderr = ends[:3]  # type: ignore[assignment]

    def take(self) -> None:
        """In the worker: put everything in its place."""
        for fd in self._ours.values():
            os.close(fd)
        taken = {number: os.dup(fd) for number, fd in self._theirs.items()}
        for fd in self._theirs.values():
            os.close(fd)
        for number, stream in enumerate(self._streams):
            if stream == "ignore":
                taken[number] = os.open(os.devnull, os.O_RDWR)
            elif isinstance(stream, int) and stream != number:
                taken[number] = os.dup(stream)
        for number, fd in taken.items():
            os.dup2(fd, number, inheritable=number < 3)
            if fd != number:
                os.close(fd)
