"""Store what happens to a request in the memory of a meter: the two functions that run for every request.

The C extension has their twin (``native/request_stores.c``), which is given the layout; :func:`stores` chooses.
"""

from __future__ import annotations

from bisect import bisect_left
from collections.abc import Callable, Hashable
from struct import Struct
from time import monotonic
from typing import Any, Final, NamedTuple

from ...base.native import Choice, Native
from .layout import (
    BOUNDS,
    LINE_BYTES,
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
)

__all__ = ["Begin", "Clock", "End", "FindRow", "Rows", "Stores", "stores"]

_ROWS_FROM: Final = ROWS_AT // 8
_SINCE_FROM: Final = SINCE_AT // 8
_LINES_AT: Final = SLOTS_AT + SLOT_BYTES - LINE_BYTES
_LINE: Final = Struct(f"={LINE_BYTES}s")

Clock = Callable[[], float]
Begin = Callable[[int, bytes], float]
End = Callable[[int, float, str, Hashable, int], None]
Rows = dict[str, dict[Hashable, Any]]
"""By method and status: what :attr:`Stores.row` has made of the number of a row."""

FindRow = Callable[[str, Hashable], Any]
"""Finds a row that is not among the :data:`Rows`, and notes it there if it may be remembered."""


class Stores(NamedTuple):
    """Writes into one memory.

    Attributes:
        begin: see :class:`~nodecluster_compat.operations.metrics.request_meter.RequestMeter`.
        end: likewise.
        row: ``row(number)`` returns what stands for a row among the :data:`Rows`.
    """

    begin: Begin
    end: End
    row: Callable[[int], Any]


def stores(choice: Choice, view: memoryview, clock: Clock, rows: Rows, find_row: FindRow) -> Stores:
    """Return what writes into ``view``.

    Args:
        choice: C or Python.
        view: the memory of a meter.
        clock: seconds.
        rows: that are known; read here, filled by ``find_row``.
        find_row: is called for others.
    """
    if choice.module is not None:
        return _stores_in_c(choice.module, view, clock, rows, find_row)
    return Stores(_begin(view, clock), _end(view, clock, rows, find_row), lambda number: _row_at(number, view))


def _stores_in_c(native: Native, view: memoryview, clock: Clock, rows: Rows, find_row: FindRow) -> Stores:
    made = native.RequestStores(
        view,
        None if clock is monotonic else clock,
        rows,
        find_row,
        rows_at=ROWS_AT,
        row_bytes=ROW_BYTES,
        row_count=ROWS,
        since_at=SINCE_AT,
        lines_at=_LINES_AT,
        slot_bytes=SLOT_BYTES,
        line_bytes=LINE_BYTES,
        slot_count=SLOTS,
        unlisted_at=8 * Header.UNLISTED,
        bounds=BOUNDS,
    )
    return Stores(made.begin, made.end, int)


# What these need is in their closures, which costs half of what attributes do.


def _begin(view: memoryview, clock: Clock) -> Begin:
    write_line, since, numbers = _LINE.pack_into, view.cast("d"), view.cast("Q")
    lines, size, since_from, unlisted = _LINES_AT, SLOT_BYTES, _SINCE_FROM, Header.UNLISTED

    def begin(slot: int, line: bytes) -> float:
        now = clock()
        if slot >= 0:
            write_line(view, lines + slot * size, line)
            since[since_from + slot] = now
        else:
            numbers[unlisted] += 1
        return now

    return begin


def _end(view: memoryview, clock: Clock, rows: Rows, find_row: FindRow) -> End:
    floats, numbers = view.cast("d"), view.cast("Q")
    since_from, unlisted = _SINCE_FROM, Header.UNLISTED

    def end(slot: int, started: float, method: str, status: Hashable, sent: int) -> None:
        try:
            count = rows[method][status]
        except (KeyError, TypeError):
            count = find_row(method, status)
        count(clock() - started, sent)
        if slot >= 0:
            floats[since_from + slot] = 0.0
        else:
            numbers[unlisted] -= 1

    return end


def _row_at(number: int, view: memoryview) -> Callable[[float, int], None]:
    """Return what counts a request into a row."""
    row = _ROWS_FROM + number * ROW_NUMBERS
    floats, numbers = view.cast("d"), view.cast("Q")
    fastest, bounds, bisect = BOUNDS[0], BOUNDS, bisect_left
    seconds_at, bytes_at, first_bucket = row + Row.SECONDS, row + Row.BYTES, row + Row.BUCKETS
    fast, total, total_sent = numbers[first_bucket], floats[seconds_at], numbers[bytes_at]

    def count(seconds: float, sent: int) -> None:
        nonlocal fast, total, total_sent
        if seconds <= fastest:
            fast += 1
            numbers[first_bucket] = fast
        else:
            numbers[first_bucket + bisect(bounds, seconds)] += 1
        total += seconds
        floats[seconds_at] = total
        if sent:
            total_sent += sent
            numbers[bytes_at] = total_sent

    return count
