"""What a comparison says of the ends of tests that ran with one worker and with several."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.session import compare
from pytest_cluster.session.compare import Comparison, Result, comparison


def test_table() -> None:
    results = [
        Result("a", 1, True), Result("a", 2, False), Result("a", 4, False),
        Result("b", 1, True), Result("b", 2, True),
        Result("c", 1, False), Result("c", 2, False),
        Result("d", 1, True), Result("d", 1, False), Result("d", 2, False),
    ]  # fmt: skip

    assert comparison(results) == [
        "a: passes with 1 worker, fails with 2, 4",
        "4 tests compared: 1 passes with 1 worker and fails with more; 2 fail with 1 worker already",
    ]


def test_table_of_one_test() -> None:
    assert comparison([Result("a", 1, False), Result("a", 2, False)]) == [
        "1 test compared: 0 pass with 1 worker and fail with more; 1 fails with 1 worker already",
    ]


def noted(*phases: tuple[str, str, int]) -> list[str]:
    """What is told of a test whose phases ended so, each with so many workers."""
    one = Comparison()
    for when, outcome, workers in phases:
        report: Any = SimpleNamespace(
            when=when, outcome=outcome, passed=outcome == "passed", failed=outcome == "failed",
            cluster_compared=("a", workers),
        )  # fmt: skip
        one.note(report)
    return one.lines()[:-1]


@pytest.mark.parametrize(
    ("phases", "fails"),
    [
        ([("call", "failed")], True),
        ([("call", "passed"), ("teardown", "failed")], True),
        ([("setup", "failed")], True),
        ([("call", "skipped")], False),
        ([("setup", "skipped")], False),
        ([("call", "rerun"), ("setup", "passed"), ("call", "passed"), ("teardown", "passed")], False),
        ([("call", "failed"), ("setup", "passed"), ("call", "passed")], False),
    ],
)
def test_what_counts_as_a_failure(phases: list[tuple[str, str]], fails: bool) -> None:
    """Neither a skip nor an expected failure, whose outcome is *skipped*, nor what the next attempt did right."""
    told = noted(("call", "passed", 1), *((when, outcome, 2) for when, outcome in phases))

    assert told == (["a: passes with 1 worker, fails with 2"] if fails else [])


def test_sum_for_each_number() -> None:
    one = Comparison()
    for workers, outcome in ((1, "passed"), (3, "failed")):
        report: Any = SimpleNamespace(
            when="call", passed=outcome == "passed", failed=outcome == "failed", cluster_compared=("a", workers)
        )
        one.note(report)

    assert one.by_number() == "with 1 worker: 1 passed; with 3 workers: 1 failed"
    assert one.blames_workers("a", 3)
    assert not one.blames_workers("a", 1)
    assert not one.blames_workers("b", 3)


def test_unsteady_test_is_told_and_not_counted() -> None:
    """It failed with 1 worker, too, when it ran so again."""
    results = [Result("a", 1, True), Result("a", 2, False)]

    assert comparison(results, unsteady=["a"]) == [
        f"a: passes with 1 worker, fails with 2, and with 1 when it runs again: {compare.OUTSIDE}",
        "1 test compared: 0 pass with 1 worker and fail with more",
    ]


@pytest.mark.parametrize(
    ("nodeid", "name"),
    [
        ("test_it.py::test_a[workers=2]", "test_it.py::test_a"),
        ("test_it.py::test_a[workers=2-x]", "test_it.py::test_a[x]"),
        ("test_it.py::test_a[x-workers=2]", "test_it.py::test_a[x]"),
    ],
)
def test_runs_of_a_test_share_a_name(monkeypatch: pytest.MonkeyPatch, nodeid: str, name: str) -> None:
    monkeypatch.setattr(compare, "count_of", lambda _: 2)
    monkeypatch.setattr(compare, "workers_of", lambda _, count: count)
    item: Any = SimpleNamespace(nodeid=nodeid)
    assert compare.name_and_workers(item) == (name, 2)


def test_test_with_one_run_is_not_compared(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(compare, "count_of", lambda _: None)
    item: Any = SimpleNamespace(nodeid="test_it.py::test_a")
    assert compare.name_and_workers(item) is None
