"""Read what a worker has counted, and believe no more of it than can be true.

A worker can write what it likes into its memory.  So it may lie, about itself alone: a row is taken when its key makes
sense, no number of it has gone back since the last reading, and none is larger than a worker of that age can have
reached.  Of any other row the last good reading stays.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from struct import Struct
from typing import TYPE_CHECKING, Final

import msgspec

from ...base.one_line import one_line
from ...roles.status import Durations
from .layout import (
    BOUNDS,
    CLIENT_BYTES,
    HEADER_NUMBERS,
    OVERFLOW_ROWS,
    ROW_BYTES,
    ROW_NUMBERS,
    ROWS,
    ROWS_AT,
    SINCE_AT,
    SLOT_BYTES,
    SLOTS,
    SLOTS_AT,
    Header,
    Row,
    row_of_key,
)

if TYPE_CHECKING:
    from ...machine.sealed_memory import SealedMemory

__all__ = ["NOTHING", "Counts", "CountsReader", "InFlight", "RowCounts", "RowKey", "together"]

RowKey = tuple[str, str]
"""A method and a status; the status is ``""`` for a request that got no answer, ``"5xx"`` where rows ran out."""

_MOST_REQUESTS: Final = 1_000_000  # a second
_MOST_BYTES: Final = 1_000_000_000_000  # a second
_MOST_CONNECTIONS: Final = 1_000_000  # a second
_SLACK_SECONDS: Final = 1.0
_SECONDS: Final = Struct("=d")
_HEADER: Final = Struct(f"={HEADER_NUMBERS}Q")
_ROW: Final = Struct(f"=QdQ{ROW_NUMBERS - Row.BUCKETS}Q")
_SLOT: Final = Struct(f"=Q{CLIENT_BYTES}s{SLOT_BYTES - 8 - CLIENT_BYTES}s")
_UNANSWERED: Final = ""
_NO_BUCKETS: Final = (0,) * (len(BOUNDS) + 1)
_UNUSED: Final = bytes(ROW_BYTES)


class RowCounts(msgspec.Struct, frozen=True):
    """The requests of one method and status.

    Attributes:
        seconds: that they took together.
        sent: bytes of the bodies of their answers.
        buckets: how many took how long; see :data:`~nodecluster_compat.operations.metrics.layout.BOUNDS`.
    """

    seconds: float
    sent: int
    buckets: tuple[int, ...]

    @property
    def count(self) -> int:
        """How many there were."""
        return sum(self.buckets)


class Counts(msgspec.Struct, frozen=True):
    """The counts of a worker, or of all workers.

    Attributes:
        rows: the requests that have ended.
        opened: connections that were taken.
        closed: those that have ended.
        late: requests that took longer than they may.
    """

    rows: dict[RowKey, RowCounts] = {}  # msgspec copies it
    opened: int = 0
    closed: int = 0
    late: int = 0

    @property
    def requests(self) -> int:
        """Requests that have ended."""
        return sum(row.count for row in self.rows.values())

    def by_class(self) -> dict[str, int]:
        """Return how many requests were answered by ``1xx`` … ``5xx``, and how many by nothing (``unanswered``)."""
        counts = {"1xx": 0, "2xx": 0, "3xx": 0, "4xx": 0, "5xx": 0, "unanswered": 0}
        for (_, status), row in self.rows.items():
            counts[f"{status[0]}xx" if status else "unanswered"] += row.count
        return counts

    def durations(self) -> Durations:
        """Return how long the requests took, whatever their method and status."""
        rows = self.rows.values()
        buckets = map(sum, zip(_NO_BUCKETS, *(row.buckets for row in rows), strict=True))
        return Durations(BOUNDS, tuple(buckets), round(sum(row.seconds for row in rows), 6))


NOTHING: Final = Counts()


class InFlight(msgspec.Struct, frozen=True):
    """A request that a worker has not ended.

    Attributes:
        since: seconds, of the monotonic clock.
        method: as the client spelt it.
        path: without what follows a question mark, and cut where it is long.
        client: its address; empty for a unix socket.
        ident: of the greenlet, thread or task, as stacks name it; 0 where none does.
    """

    since: float
    method: str
    path: str
    client: str
    ident: int


def together(all_counts: Iterable[Counts]) -> Counts:
    """Return the counts of several workers as those of one."""
    rows: dict[RowKey, list[RowCounts]] = {}
    opened = closed = late = 0
    for counts in all_counts:
        opened += counts.opened
        closed += counts.closed
        late += counts.late
        for key, row in counts.rows.items():
            rows.setdefault(key, []).append(row)
    return Counts({key: _sum(found) for key, found in rows.items()}, opened, closed, late)


def _sum(rows: list[RowCounts]) -> RowCounts:
    if len(rows) == 1:
        return rows[0]
    buckets = tuple(map(sum, zip(*(row.buckets for row in rows), strict=True)))
    return RowCounts(sum(row.seconds for row in rows), sum(row.sent for row in rows), buckets)


class CountsReader:
    """Reads the numbers of one worker, from its birth on.

    Args:
        memory: the worker's.
        born: when it was forked: seconds, of the monotonic clock.

    Attributes:
        has_values: whether the application had metrics of its own there, at the last reading.
    """

    has_values = False

    def __init__(self, memory: SealedMemory, born: float) -> None:
        self.memory = memory
        self.born = born
        self._last = NOTHING
        self._raw: list[bytes] = [_UNUSED] * ROWS  # as read last: what has not changed since is not looked at again
        self._all_raw = b""  # the same

    def survey(self, now: float) -> tuple[Counts, int, float]:
        """Return what :meth:`read` and :meth:`active` do."""
        counts, header = self._read(now)
        return counts, *self._active(header, now)

    def read(self, now: float) -> Counts:
        """Return what it has counted so far."""
        return self._read(now)[0]

    def _read(self, now: float) -> tuple[Counts, Sequence[int]]:
        known = ROWS_AT + len(self._all_raw)
        data = self.memory.read(known, 0)  # in one go, unless there are more rows than before
        header = self._unpacked(data)
        size = ROW_BYTES * min(header[Header.ROWS], ROWS)
        rows = data[ROWS_AT : ROWS_AT + size] if size <= len(self._all_raw) else self.memory.read(size, ROWS_AT)
        return self._taken(header, rows, now), header

    def _taken(self, header: Sequence[int], data: bytes, now: float) -> Counts:
        age = max(now - self.born, 0.0) + _SLACK_SECONDS
        rows = self._rows(data, age)
        most = int(_MOST_CONNECTIONS * age)
        opened, closed = header[Header.OPENED], header[Header.CLOSED]
        is_sane = self._last.opened <= opened <= most and self._last.closed <= closed <= opened
        opened, closed = (opened, closed) if is_sane else (self._last.opened, self._last.closed)
        late = header[Header.LATE] if self._last.late <= header[Header.LATE] <= most else self._last.late
        self._last = Counts(rows, opened, closed, late)
        return self._last

    def _header(self) -> Sequence[int]:
        return self._unpacked(self.memory.read(_HEADER.size, 0))

    def _unpacked(self, data: bytes) -> Sequence[int]:
        header = _HEADER.unpack_from(data)
        self.has_values = bool(header[Header.VALUES] or header[Header.DROPPED])
        return header

    def _rows(self, data: bytes, age: float) -> dict[RowKey, RowCounts]:
        rows = self._last.rows
        if data == self._all_raw:
            return rows
        self._all_raw = data
        for number in range(len(data) // ROW_BYTES):
            raw = data[number * ROW_BYTES : (number + 1) * ROW_BYTES]
            if raw == self._raw[number]:
                continue
            self._raw[number] = raw
            raw_key, seconds, sent, *buckets = _ROW.unpack(raw)
            key, row = _key(number, raw_key), RowCounts(seconds, sent, tuple(buckets))
            if key is not None and _can_be(row, rows.get(key), age):
                rows = {**rows, key: row}
        return rows

    def ended(self) -> int:
        """Return how many requests have ended, unchecked; from any thread."""
        header = _HEADER.unpack(self.memory.read(_HEADER.size, 0))
        rows = self.memory.read(ROW_BYTES * min(header[Header.ROWS], ROWS), ROWS_AT)
        return sum(sum(row[Row.BUCKETS :]) for row in _ROW.iter_unpack(rows))

    def active(self, now: float) -> tuple[int, float]:
        """Return how many requests are in flight, and for how many seconds the oldest is."""
        return self._active(self._header(), now)

    def _active(self, header: Sequence[int], now: float) -> tuple[int, float]:
        since = [at for _, at in self._since(header, now)]
        unlisted = header[Header.UNLISTED]
        is_sane = unlisted <= self._last.opened  # the last reading, which is of this moment or a little older
        return len(since) + (unlisted if is_sane else 0), now - min(since, default=now)

    def in_flight(self, now: float) -> list[InFlight]:
        """Return the requests in flight that have a slot, oldest first."""
        header = self._header()
        found = [self._in_slot(slot, at) for slot, at in self._since(header, now)]
        return sorted((one for one in found if one is not None), key=lambda one: one.since)

    def _since(self, header: Sequence[int], now: float) -> list[tuple[int, float]]:
        data = self.memory.read(8 * min(header[Header.SLOTS], SLOTS), SINCE_AT)
        if not data.strip(b"\0"):
            return []
        since = memoryview(data).cast("d").tolist()
        return [(slot, at) for slot, at in enumerate(since) if at and self.born <= at <= now]

    def _in_slot(self, slot: int, since: float) -> InFlight | None:
        ident, client, line = _SLOT.unpack(self.memory.read(SLOT_BYTES, SLOTS_AT + slot * SLOT_BYTES))
        if _SECONDS.unpack(self.memory.read(8, SINCE_AT + 8 * slot))[0] != since:
            return None  # it has ended meanwhile, and this may be part of the next one
        method, _, rest = _text(line.partition(b"\r")[0]).partition(" ")
        path = rest.partition(" ")[0].partition("?")[0]
        return InFlight(since, method, path, _text(client), ident)


def _key(number: int, key: int) -> RowKey | None:
    if number < OVERFLOW_ROWS:
        return "_OTHER", f"{number + 1}xx"
    found = row_of_key(key)
    return None if found is None else (found[0], str(found[1]) if found[1] else _UNANSWERED)


def _can_be(row: RowCounts, last: RowCounts | None, age: float) -> bool:
    """Whether a worker can have reached these numbers, in ``age`` seconds, since it had the ``last`` ones."""
    most = _MOST_REQUESTS * age
    if max(row.buckets) > most or row.sent > _MOST_BYTES * age:
        return False
    if not row.count or not 0.0 <= row.seconds <= (row.count + 1) * age:
        return False
    if last is None:
        return True
    return (
        row.seconds >= last.seconds
        and row.sent >= last.sent
        and all(now >= before for now, before in zip(row.buckets, last.buckets, strict=True))
    )


def _text(data: bytes) -> str:
    return one_line(data.rstrip(b"\0").decode("latin-1"))
