"""Say which cells of a table of parameters the quick run has: ``@pytest.mark.table(quick=[...], long=[...])``.

A cell is named by its id, what stands between the brackets.  Those of neither list are ``slow``.  The quick ones should
have each value of the parameter that the test is about; ``long`` are those that tell least of what the others do not.
"""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Iterable

import pytest

__all__ = ["mark_cells"]


def mark_cells(items: Iterable[pytest.Item], *, all_collected: bool) -> None:
    """Mark the cells of all tables.

    Args:
        items: what was collected.
        all_collected: whether that is each test of its file, so that a cell that is not there is a mistake.

    Raises:
        pytest.UsageError: a table names a cell that it does not have.
    """
    named: dict[str, set[str]] = {}
    found: dict[str, set[str]] = defaultdict(set)
    for item in items:
        table = item.get_closest_marker("table")
        if table is None or not isinstance(item, pytest.Function):
            continue
        test, cell = item.nodeid.partition("[")[0], item.callspec.id
        quick, long = set(table.kwargs["quick"]), set(table.kwargs.get("long", ()))
        named[test] = quick | long
        found[test].add(cell)
        if cell not in quick:
            item.add_marker(pytest.mark.long if cell in long else pytest.mark.slow)
    missing = [f"{test} has no {cell!r}" for test, cells in named.items() for cell in sorted(cells - found[test])]
    if missing and all_collected:
        raise pytest.UsageError("mark.table: " + "; ".join(missing))
