"""Say which cells of a table of parameters the quick run has: ``@pytest.mark.table(quick=[...])``.

A cell is named by its id, what stands between the brackets.  The quick ones should have each value of the parameter
that the test is about.  Of the others those are ``slow`` that ``slow`` names; or, without that, that have a value which
no quick cell has, and that ``long`` does not name.  The rest is long, such as the same with another kind of worker:
what a parameter ``kind`` or ``worker_class`` says counts as none of these values.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable
from typing import Final

import pytest

__all__ = ["mark_cells"]

_KINDS: Final = ("kind", "worker_class")


def mark_cells(nodes: Iterable[pytest.Item | pytest.Collector]) -> None:
    """Mark the cells of all tables.

    Args:
        nodes: all that is in a file or a class, so that a cell that is not there is a mistake.

    Raises:
        pytest.UsageError: a table names a cell that it does not have.
    """
    tables: dict[str, list[pytest.Function]] = defaultdict(list)
    for node in nodes:
        if isinstance(node, pytest.Function) and node.get_closest_marker("table"):
            tables[node.nodeid.partition("[")[0]].append(node)
    missing = [f"{test} has no {cell!r}" for test, cells in tables.items() for cell in sorted(_mark(cells))]
    if missing:
        raise pytest.UsageError("mark.table: " + "; ".join(missing))


def _mark(cells: Iterable[pytest.Function]) -> set[str]:
    """Mark the cells of one table; return those that it names and does not have."""
    of_id = {cell.callspec.id: cell for cell in cells}
    table = next(iter(of_id.values())).get_closest_marker("table")
    assert table is not None
    quick, slow, long = (set(table.kwargs.get(name, ())) for name in ("quick", "slow", "long"))
    shown = {value for name in quick & of_id.keys() for value in _values(of_id[name])}
    for name, cell in of_id.items():
        if name not in quick:
            is_slow = name in slow if slow else name not in long and not _values(cell) <= shown
            cell.add_marker(pytest.mark.slow if is_slow else pytest.mark.long)
    return (quick | slow | long) - of_id.keys()


def _values(cell: pytest.Function) -> set[tuple[str, str]]:
    """Return what tells a cell from the others, but for the kind of worker."""
    return {(name, repr(value)) for name, value in cell.callspec.params.items() if name not in _KINDS}
