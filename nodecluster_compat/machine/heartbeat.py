"""Share a little memory between a worker, which writes its heartbeats and stacks, and its primary, which reads them.

    beat (two doubles) · whether it leaves, and how many requests it has served (two integers) · load (a double and an
    integer) · stacks, as text

It is memory because it must work when nothing else of the worker does: a loop that stands still sends no frame, and
memory keeps what a killed worker wrote.  It is a file without a name (``memfd``), because ``faulthandler`` writes to
descriptors.  Both sides share one offset: the primary moves it to the end of the beat before it asks for stacks.

Rejected: a mapping of it (a worker that cuts the file short would end the primary by SIGBUS), a pipe (writing into a
full one waits), gunicorn's file of times (writing into it changes the time that it is there for).

A worker can write what it likes here, so a beat is checked, and a bounded part of the stacks is read.
"""

from __future__ import annotations

import math
import os
import struct
from typing import Final

from ..base.records import NO_BEAT, NO_LOAD, Beat, Load, checked
from .nameless_file import NamelessFile

__all__ = ["END_OF_STACKS", "Heartbeat"]

END_OF_STACKS: Final = b"(end of the stacks)\n"
"""What the worker writes after its last stack."""

_BEAT: Final = struct.Struct("dd")
_SERVED: Final = struct.Struct("QQ")
_LOAD: Final = struct.Struct("dQ")
_LOAD_AT: Final = _BEAT.size + _SERVED.size
_STACKS_AT: Final = _LOAD_AT + _LOAD.size
_MOST_READ: Final = 64 * 1024


class Heartbeat(NamelessFile):
    """The shared memory of one worker and its primary.

    Raises:
        OSError: no descriptor is left for it.
    """

    __slots__ = ()

    def __init__(self) -> None:
        super().__init__("nodecluster-heartbeat")

    # --- the worker's side ---------------------------------------------------------------------

    def beat(self, beat: Beat) -> None:
        """The loop turns."""
        if self._fd >= 0:
            os.pwrite(self._fd, _BEAT.pack(beat.turned, beat.lag), 0)

    def note_served(self, requests: int) -> None:
        """It leaves, and has served so many requests."""
        if self._fd >= 0:
            os.pwrite(self._fd, _SERVED.pack(1, requests), _BEAT.size)

    def note_load(self, load: Load) -> None:
        """How busy its threads are."""
        if self._fd >= 0:
            os.pwrite(self._fd, _LOAD.pack(load.full_since, load.waiting), _LOAD_AT)

    def has_stacks(self) -> bool:
        """Whether something of a dump is written."""
        return os.fstat(self._fd).st_size > _STACKS_AT

    # --- the primary's side --------------------------------------------------------------------

    def read(self) -> Beat:
        """Return the last beat."""
        if self._fd < 0:
            return NO_BEAT
        said = os.pread(self._fd, _BEAT.size, 0)
        return checked(*_BEAT.unpack(said)) if len(said) == _BEAT.size else NO_BEAT

    def served(self) -> int | None:
        """Return how many requests it had served when it left; ``None`` if it has not said that."""
        said = b"" if self._fd < 0 else os.pread(self._fd, _SERVED.size, _BEAT.size)
        leaves, requests = _SERVED.unpack(said) if len(said) == _SERVED.size else (0, 0)
        return int(requests) if leaves else None

    def load(self) -> Load:
        """Return how busy its threads are; a worker that has none says nothing."""
        said = b"" if self._fd < 0 else os.pread(self._fd, _LOAD.size, _LOAD_AT)
        if len(said) != _LOAD.size:
            return NO_LOAD
        full_since, waiting = _LOAD.unpack(said)
        return Load(full_since, waiting) if 0 <= full_since < math.inf else NO_LOAD

    def clear_stacks(self) -> None:
        """What is written from now on is a new dump."""
        os.ftruncate(self._fd, _STACKS_AT)
        os.lseek(self._fd, _STACKS_AT, os.SEEK_SET)

    def stacks(self) -> bytes:
        """Return the dump, as far as it is written."""
        return b"" if self._fd < 0 else os.pread(self._fd, _MOST_READ, _STACKS_AT)
