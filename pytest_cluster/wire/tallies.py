"""Count the requests that each worker has begun and served, in memory that the test and all workers share.

The counts of a worker that was killed are still here.  The file has a fixed size, with a slot of two counters for each
worker id; only that worker writes there, and it has one thread.  A worker counts an answer after it has sent it, so
whoever has just read that answer may be ahead of the count: :meth:`Tallies.settled` waits for it.
"""

from __future__ import annotations

import mmap
import os
import struct
import threading
from collections import Counter
from dataclasses import dataclass

from ..waiting import poll

__all__ = ["SLOTS", "Tallies", "Tally"]

SLOTS = 4096
SETTLE_SECONDS = 2.0
_SLOT = struct.Struct("=QQ")


@dataclass(frozen=True, slots=True)
class Tally:
    """Requests of one worker."""

    begun: int = 0
    served: int = 0

    @property
    def in_flight(self) -> int:
        """Requests that the application has and has not answered; at death, those that were lost with it."""
        return self.begun - self.served


class Tallies:
    """The counters, mapped from the file *path*, which is made when it is missing."""

    def __init__(self, path: str) -> None:
        fd = os.open(path, os.O_RDWR | os.O_CREAT, 0o600)
        try:
            if os.fstat(fd).st_size < SLOTS * _SLOT.size:
                os.posix_fallocate(fd, 0, SLOTS * _SLOT.size)  # on a full disk a hole would be everybody's SIGBUS
            self._memory: mmap.mmap | bytes = mmap.mmap(fd, SLOTS * _SLOT.size)
        finally:
            os.close(fd)
        self._seen: Counter[int] = Counter()  # in the test: answers that have arrived, in any of its threads
        self._lock = threading.Lock()

    def of(self, worker: int) -> Tally:
        """Return what *worker* has counted; nothing for an id beyond :data:`SLOTS`."""
        if not 0 <= worker < SLOTS:
            return Tally()
        return Tally(*_SLOT.unpack_from(self._memory, worker * _SLOT.size))

    def seen(self, worker: int) -> None:
        """Note, in the test, that an answer of *worker* has arrived."""
        with self._lock:
            self._seen[worker] += 1

    def settled(self, worker: int) -> Tally:
        """Wait until the answers that have arrived are counted, and return :meth:`of`; a dead worker counts no more."""
        seen = self._seen[worker]
        if self.of(worker).served < seen and not isinstance(self._memory, bytes):
            poll(lambda: self.of(worker).served >= seen, SETTLE_SECONDS)
        return self.of(worker)

    def begin(self, worker: int) -> None:
        """Count a request that *worker* has begun."""
        self._add(worker, 1, 0)

    def end(self, worker: int) -> None:
        """Count a request that *worker* has ended."""
        self._add(worker, 0, 1)

    def keep(self) -> None:
        """Keep the figures and let go of the memory: nobody counts any more."""
        if not isinstance(self._memory, bytes):
            memory, self._memory = self._memory, bytes(self._memory)
            memory.close()

    def leave(self) -> None:
        """Count nothing any more, in a forked child: what its parent has begun is its parent's to count."""
        self._memory = b""

    def _add(self, worker: int, begun: int, served: int) -> None:
        if 0 <= worker < SLOTS and not isinstance(self._memory, bytes):
            with self._lock:  # a worker may answer in many threads
                tally = self.of(worker)
                _SLOT.pack_into(self._memory, worker * _SLOT.size, tally.begun + begun, tally.served + served)
