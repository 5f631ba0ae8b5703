"""With how many workers a test runs: what its marker, the command line and the comparison say."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.session import parametrize
from pytest_cluster.session.parametrize import worker_counts, workers_of


def an_item(monkeypatch: pytest.MonkeyPatch, asked: tuple[int, ...], compares: bool, marked: Any = None) -> Any:
    values = {"workers": asked, "compare": compares}
    monkeypatch.setattr(parametrize.settings, "value_of", lambda _, name: SimpleNamespace(value=values[name]))
    marks = [] if marked is None else [pytest.mark.cluster(workers=marked).mark]
    monkeypatch.setattr(parametrize, "markers_of", lambda *_: marks)
    return SimpleNamespace(config=None)


@pytest.mark.parametrize(
    ("asked", "compares", "marked", "counts"),
    [
        ((2,), False, None, (2,)),
        ((1, 2, 4), False, None, (1, 2, 4)),
        ((1, 2, 4), False, 3, (3,)),
        ((3,), True, None, (1, 3)),
        ((1,), True, None, (1, 2)),
        ((2, 4), True, None, (1, 2, 4)),
        ((2,), True, 3, (1, 3)),
        ((2,), True, 1, (1,)),
        ((2,), True, "two", ("two",)),
    ],
)
def test_counts(
    monkeypatch: pytest.MonkeyPatch, asked: tuple[int, ...], compares: bool, marked: Any, counts: tuple[Any, ...]
) -> None:
    """What is no number is refused elsewhere."""
    assert worker_counts(an_item(monkeypatch, asked, compares, marked)) == counts


@pytest.mark.parametrize(
    ("compares", "marked", "count", "workers"),
    [(False, None, 2, 2), (False, 3, 2, 3), (True, 3, 1, 1), (True, 3, 2, 3), (True, 1, 2, 2)],
)
def test_marker_on_a_parameter_is_seen_late(
    monkeypatch: pytest.MonkeyPatch, compares: bool, marked: int | None, count: int, workers: int
) -> None:
    assert workers_of(an_item(monkeypatch, (2,), compares, marked), count) == workers
