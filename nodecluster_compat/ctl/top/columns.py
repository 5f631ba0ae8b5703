"""Define the columns of the workers: what is in each, how it is sorted, which of them a narrow terminal has.  Pure."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final

from ..tables import seconds, size
from .cells import Line, harmless, width_of
from .rates import Rates, WorkerRates

__all__ = ["COLUMNS", "Column", "fitting", "laid_out", "percent", "rate", "row_of", "sorted_workers"]

Worker = Mapping[str, Any]
_GAP: Final = 2


@dataclass(frozen=True, slots=True)
class Column:
    """One column.

    Attributes:
        title: its heading.
        value: what is sorted by; ``None`` where it is not known.
        tell: how a value is told.
        rank: those with the highest are left out first where there is no room.
        is_words: stands on the left; numbers stand on the right.
    """

    title: str
    value: Callable[[Worker, WorkerRates], Any]
    tell: Callable[[Any], str | None]
    rank: int
    is_words: bool = False


def rate(value: float) -> str:
    """Return how often a second."""
    return f"{value:.1f}"


def percent(value: float) -> str:
    """Return a share of 1."""
    return f"{value * 100:.0f}%"


def _condition(worker: Worker) -> str:
    state = "leaving" if worker["is_leaving"] and worker["state"] == "listening" else worker["state"]
    return state if worker["health"] == "ok" else f"{state}, {worker['health']}"


COLUMNS: Final = (
    Column("SLOT", lambda one, _: one["slot"], str, 0),
    Column("PID", lambda one, _: one["pid"], str, 4),
    Column("STATE", lambda one, _: _condition(one), str, 0, is_words=True),
    Column("REQ/S", lambda _, rates: rates.requests, rate, 1),
    Column("REQUESTS", lambda one, _: one["requests"], str, 7),
    Column("ACTIVE", lambda one, _: one["active_requests"], str, 1),
    Column("OLDEST", lambda one, _: one["oldest_request_seconds"], seconds, 2),
    Column("LAG", lambda one, _: one["lag"], seconds, 5),
    Column("MEMORY", lambda one, _: one["rss_bytes"], size, 3),
    Column("CPU", lambda _, rates: rates.cpu, percent, 6),
    Column("AGE", lambda one, _: one["age"], seconds, 8),
    Column("GEN", lambda one, _: one["generation"], str, 9),
    Column("CONNECTIONS", lambda one, _: one["connections"], str, 10),
)


def sorted_workers(workers: Sequence[Worker], rates: Rates, column: Column, *, falls: bool) -> list[Worker]:
    """Return the workers by that column; what is not known comes last, equal ones by their slot."""
    by_slot = sorted(workers, key=lambda one: (one["slot"], one["id"]))
    known = [one for one in by_slot if _value(one, rates, column) is not None]
    known.sort(key=lambda one: _value(one, rates, column), reverse=falls)
    return [*known, *(one for one in by_slot if _value(one, rates, column) is None)]


def row_of(worker: Worker, rates: Rates) -> list[str]:
    """Return what is told of a worker, column by column."""
    values = ((column, _value(worker, rates, column)) for column in COLUMNS)
    return ["-" if value is None else harmless(column.tell(value) or "-") for column, value in values]


def _value(worker: Worker, rates: Rates, column: Column) -> Any:  # noqa: ANN401 - words or numbers
    return column.value(worker, rates.workers.get(worker["id"], WorkerRates()))


def fitting(rows: Sequence[Sequence[str]], width: int) -> list[tuple[int, int]]:
    """Return which columns fit, and how wide each is: pairs of its index and its width.

    Args:
        rows: of cells, the headings among them.
        width: of the terminal.
    """
    widths = [max(width_of(row[index]) for row in rows) for index in range(len(COLUMNS))]
    kept = list(range(len(COLUMNS)))
    while len(kept) > 1 and sum(widths[index] + _GAP for index in kept) - _GAP > width:
        kept.remove(max(kept, key=lambda index: COLUMNS[index].rank))
    return [(index, widths[index]) for index in kept]


def laid_out(cells: Sequence[str], fit: Sequence[tuple[int, int]], styles: Mapping[int, str]) -> Line:
    """Return a line of cells.

    Args:
        cells: of every column.
        fit: which of them are shown, as :func:`fitting` says.
        styles: of some, by index.
    """
    spans: list[tuple[str, str]] = []
    for index, width in fit:
        padding = " " * (width - width_of(cells[index]))
        text = f"{cells[index]}{padding}" if COLUMNS[index].is_words else f"{padding}{cells[index]}"
        spans += [(styles.get(index, ""), text), ("", " " * _GAP)]
    return tuple(spans[:-1])
