"""Keep the counts of all workers: of those that live by reading their memory, of those that have ended in one sum.

A worker's counts are read once more when it has been reaped, and added to the sum.  So what all of them have counted
never goes back, whatever becomes of a worker, and a worker that is blocked is counted like any other.
"""

from __future__ import annotations

import sys
import time
from collections.abc import Callable
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from msgspec import Struct

from ...machine.process_usage import UsageReader, usage_of
from ...machine.sealed_memory import SealedMemory
from ...machine.shared_number import shared_number
from ...roles.numbers import LAG_DIGITS, TotalNumbers, WorkerNumbers
from .application_sum import ApplicationSum
from .application_values import ApplicationValues
from .counts import NOTHING, Counts, CountsReader, InFlight, together
from .figures import WorkerFigures
from .layout import WHOLE_BYTES, Header
from .shared_values import values_here

if TYPE_CHECKING:
    from ...roles.worker_handle import WorkerHandle

__all__ = ["Ledger", "Survey"]

_NAME: Final = "nodecluster-numbers"
_DIGITS: Final = 3  # of seconds that people read
_FRESH_SECONDS: Final = 0.005  # a status asks for the same several times


class Survey(Struct, frozen=True):
    """All counts at one moment.

    Attributes:
        counts: of all workers, dead ones included.
        active: requests in flight, by worker.
        lost: requests that were in flight when their worker ended.
        cpu_seconds: of the workers that have ended.
    """

    counts: Counts
    active: dict[int, int]
    lost: int
    cpu_seconds: float


class _Books:
    """What one worker's memory says."""

    def __init__(self, slot: int, now: float) -> None:
        self.slot = slot
        self.memory = SealedMemory(_NAME, WHOLE_BYTES)
        self.counts = CountsReader(self.memory, now)
        self.values = ApplicationValues(self.memory)
        self.usage = UsageReader()
        self._read = now - 2 * _FRESH_SECONDS, NOTHING, 0, 0.0

    def read(self, now: float) -> tuple[Counts, int, float]:
        """Return its counts, how many requests are in flight, and the age of the oldest; of this moment, or nearly."""
        if now - self._read[0] > _FRESH_SECONDS:
            self._read = now, *self.counts.survey(now)
        return self._read[1:]


class Ledger:
    """The counts of one primary's workers; see :class:`~nodecluster_compat.roles.numbers.Numbers`.

    Args:
        clock: seconds, the same for worker and primary.
    """

    def __init__(self, clock: Callable[[], float] = time.monotonic) -> None:
        self._clock = clock
        self._books: dict[int, _Books] = {}
        self._ended = NOTHING
        self._survey: tuple[float, Survey] | None = None
        self._ended_values = ApplicationSum()
        self._own_values: ApplicationValues | None = None
        self._lost = 0
        self._cpu_seconds = 0.0

    # --- the life of a worker ------------------------------------------------------------------

    def born(self, worker_id: int, slot: int) -> None:
        """A worker is about to be forked.

        Raises:
            OSError: no descriptor is left.
        """
        self._books[worker_id] = _Books(slot, self._clock())

    def gone(self, worker_id: int, cpu_seconds: float = 0.0) -> None:
        """Forget a worker that was reaped, or never forked; a no-op when that was said."""
        books = self._books.pop(worker_id, None)
        if books is not None:
            self._cpu_seconds += cpu_seconds
            self._survey = None
            try:
                self._fold(books)
            finally:
                books.memory.close()
                books.usage.close()

    def _fold(self, books: _Books) -> None:
        """Keep what the worker has counted."""
        now = self._clock()
        self._ended = together([self._ended, books.counts.read(now)])
        self._lost += books.counts.active(now)[0]
        self._ended_values.add(books.slot, books.values, has_ended=True)

    def abandon(self, worker_id: int | None) -> SealedMemory | None:
        """In a forked child: let go of all memory but that of ``worker_id``; return that."""
        mine = None
        for one, books in self._books.items():
            if one == worker_id:
                mine = books.memory
            else:
                books.memory.close()
            books.usage.close()
        self._books.clear()
        return mine

    # --- what they have counted ----------------------------------------------------------------

    def of(self, worker: WorkerHandle) -> WorkerNumbers:
        """See :class:`~nodecluster_compat.roles.numbers.Numbers`."""
        rss, cpu = self._usage_of(worker)
        books = self._books.get(worker.id)
        if books is None:
            return WorkerNumbers(rss_bytes=rss, cpu_seconds=cpu)
        now = self._clock()
        counts, active, oldest = books.read(now)
        age = round(oldest, _DIGITS) if active else None
        return WorkerNumbers(counts.requests, active, age, counts.opened - counts.closed, rss, cpu)

    def figures(self, worker: WorkerHandle) -> WorkerFigures:
        """Return what is told of a worker as metrics: the same as in the status, at a fraction of its price."""
        books, (rss, cpu) = self._books.get(worker.id), self._usage_of(worker)
        slot, health, lag = worker.slot, worker.health, round(worker.lag, LAG_DIGITS)
        if books is None:
            return WorkerFigures(slot, health, lag, rss_bytes=rss, cpu_seconds=cpu)
        counts, active, oldest = books.read(self._clock())
        age = round(oldest, _DIGITS) if active else None
        return WorkerFigures(slot, health, lag, active, age, counts.opened - counts.closed, rss, cpu)

    def _usage_of(self, worker: WorkerHandle) -> tuple[int | None, float | None]:
        """Return the resident memory and the processor time of a worker."""
        pid, books = worker.process.pid, self._books.get(worker.id)
        if pid is None or worker.process.is_reaped:
            return None, None
        usage = usage_of(pid) if books is None else books.usage.read(pid)
        return (None, None) if usage is None else (usage.rss_bytes, round(usage.cpu_seconds, _DIGITS))

    def totals(self) -> TotalNumbers:
        """See :class:`~nodecluster_compat.roles.numbers.Numbers`."""
        counts = self.survey().counts
        return TotalNumbers(counts.requests, counts.by_class(), counts.opened, counts.durations())

    def survey(self) -> Survey:
        """Return all counts."""
        now = self._clock()
        if self._survey is None or now - self._survey[0] > _FRESH_SECONDS:
            found = {worker_id: books.read(now) for worker_id, books in self._books.items()}
            counts = together([self._ended, *(its for its, _, _ in found.values())])
            active = {worker_id: count for worker_id, (_, count, _) in found.items()}
            self._survey = now, Survey(counts, active, self._lost, self._cpu_seconds)
        return self._survey[1]

    def closed(self, worker_id: int) -> int:
        """Return how many connections of a worker have ended; 0 for one that is unknown.  From any thread."""
        books = self._books.get(worker_id)
        with suppress(OSError):  # it is gone meanwhile
            return 0 if books is None else int.from_bytes(books.memory.read(8, Header.CLOSED * 8), sys.byteorder)
        return 0

    def number_of_closed(self, worker_id: int) -> object:
        """Return what C reads that by; ``None`` where it cannot."""
        books = self._books.get(worker_id)
        return None if books is None else shared_number(books.memory, Header.CLOSED * 8)

    def answered(self, worker_id: int) -> int:
        """Return how many requests of a worker have ended, as it says; -1 for one that is unknown.  From any thread."""
        books = self._books.get(worker_id)
        with suppress(OSError):  # it is gone meanwhile
            return -1 if books is None else books.counts.ended()
        return -1

    def is_answering(self, worker_id: int) -> bool:
        """Whether a worker has a request in flight, or had one when it ended: of this very moment."""
        books = self._books.get(worker_id)
        return books is not None and books.counts.active(self._clock())[0] > 0

    def in_flight(self, worker_id: int) -> list[InFlight]:
        """Return the requests that a worker has in flight, oldest first."""
        books = self._books.get(worker_id)
        return [] if books is None else books.counts.in_flight(self._clock())

    def application(self) -> ApplicationSum:
        """Return the values of the application's own metrics, those of the primary included."""
        together = self._ended_values.copy()
        own = values_here()
        if own is not None:
            self._own_values = self._own_values or ApplicationValues(own)
            together.add(0, self._own_values, only_used=True)
        now = self._clock()
        for books in self._books.values():
            books.read(now)
            if books.counts.has_values:
                together.add(books.slot, books.values)
        return together
