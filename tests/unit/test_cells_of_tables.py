"""Each cell of a table belongs to the quick run, to the slow one or to the long one (tests/support/tables.py)."""

from __future__ import annotations

import re
from pathlib import Path

import pytest
from tables import mark_cells

ROOT = Path(__file__).parents[2]

SOURCE = """
import pytest

@pytest.mark.table({})
@pytest.mark.parametrize("kind", ["gevent", "threads"])
@pytest.mark.parametrize("way", ["HUP", "TERM", "KILL"])
def test_it(way, kind):
    pass
"""


@pytest.fixture(autouse=True)
def _few_plugins(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PYTEST_DISABLE_PLUGIN_AUTOLOAD", "1")


def marked(pytester: pytest.Pytester, table: str) -> dict[str, list[str]]:
    pytester.makeini("[pytest]\nmarkers =\n    table\n    slow\n    long\n")
    items = pytester.getitems(SOURCE.format(table))
    mark_cells(items)
    cells: dict[str, list[str]] = {"quick": [], "slow": [], "long": []}
    for item in items:
        marks = [name for name in ("slow", "long") if item.get_closest_marker(name)] or ["quick"]
        for mark in marks:
            cells[mark].append(item.name.partition("[")[2].rstrip("]"))
    return cells


def test_slow_is_what_has_a_value_that_no_quick_cell_has(pytester: pytest.Pytester) -> None:
    """Whatever the kind of worker: that is of other tables."""
    cells = marked(pytester, 'quick=["HUP-gevent", "TERM-gevent"]')
    assert cells["quick"] == ["HUP-gevent", "TERM-gevent"]
    assert cells["slow"] == ["KILL-gevent", "KILL-threads"]
    assert cells["long"] == ["HUP-threads", "TERM-threads"]


def test_long_is_also_what_is_named_so(pytester: pytest.Pytester) -> None:
    cells = marked(pytester, 'quick=["HUP-gevent"], long=["KILL-threads", "TERM-threads"]')
    assert cells["slow"] == ["TERM-gevent", "KILL-gevent"]
    assert cells["long"] == ["HUP-threads", "TERM-threads", "KILL-threads"]


def test_where_slow_is_named_nothing_else_is(pytester: pytest.Pytester) -> None:
    cells = marked(pytester, 'quick=["HUP-gevent"], slow=["HUP-threads"]')
    assert cells["slow"] == ["HUP-threads"]
    assert len(cells["long"]) == 4


def test_cell_that_is_not_there_is_a_mistake(pytester: pytest.Pytester) -> None:
    with pytest.raises(pytest.UsageError, match="test_it has no 'USR2'"):
        marked(pytester, 'quick=["HUP-gevent"], slow=["USR2"]')


def test_marks_stand_where_ci_looks_for_them() -> None:
    """In the files of the tests, or in what marks for those who name it: .ci/run and .ci/long collect no others."""
    helpers = [*(ROOT / "tests" / "support").glob("*.py"), *(ROOT / "tests").glob("**/conftest.py")]
    marking = {one.name: re.findall(r"mark\.(slow|long)\b", one.read_text()) for one in helpers}
    found = {name: sorted(set(marks)) for name, marks in marking.items() if marks}
    assert found == {"tables.py": ["long", "slow"], "kinds.py": ["long"]}


def test_a_cell_that_is_chosen_by_its_id_is_what_it_is_among_all(pytester: pytest.Pytester) -> None:
    """So that ``-m long --lf`` finds what failed in the long run."""
    pytester.makeini("[pytest]\nmarkers =\n    table\n    slow\n    long\n")
    pytester.makeconftest("from tests.conftest import pytest_make_collect_report")
    pytester.makepyfile(test_it=SOURCE.format('quick=["HUP-gevent", "TERM-gevent"]'))
    pytester.syspathinsert(ROOT)
    result = pytester.runpytest_inprocess("-m", "long", "test_it.py::test_it[HUP-threads]", "-p", "no:cacheprovider")
    result.assert_outcomes(passed=1)
