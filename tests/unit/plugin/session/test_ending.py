"""What a test that passed has overlooked: the end of its primary, an expectation of its own."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.errors import CrashError, UncheckedExpectation
from pytest_cluster.session import ending
from pytest_cluster.session.ending import ends_of_test, missed_by_test
from pytest_cluster.stash import FAILED


def ended(code: int | None, *, log: str = "", was_told: bool = False, unchecked: dict[int, str] | None = None) -> Any:
    """A cluster whose primary has ended with a code, if any."""
    primary = SimpleNamespace(end_was_told=was_told, describe_end=lambda: f"exit code {code}")
    return SimpleNamespace(
        is_closed=False,
        ends_quickly=True,
        workers=[],
        primary=primary,
        returncode=code,
        log=log,
        server=None,
        journal=SimpleNamespace(entries=(), unchecked=unchecked or {}),
        options=SimpleNamespace(settings={}),
    )


@pytest.mark.parametrize("code", [None, 0])
def test_nothing(code: int | None) -> None:
    assert missed_by_test(ended(code)) is None


def test_primary_that_ended_badly() -> None:
    missed = missed_by_test(ended(1, log="[ERROR] the disk is full\n"))
    assert isinstance(missed, CrashError)
    assert "the primary ended by itself during the test: exit code 1" in str(missed)


def test_primary_whose_end_the_test_has_seen() -> None:
    assert missed_by_test(ended(1, was_told=True)) is None


def test_primary_that_a_fault_has_ended(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(ending, "last_fault", lambda *_: "SIGKILL")
    assert missed_by_test(ended(137)) is None


def test_expectation_that_nobody_checked() -> None:
    missed = missed_by_test(ended(None, unchecked={1: "1 x event exit"}))
    assert isinstance(missed, UncheckedExpectation)
    assert "1 x event exit" in str(missed)


@pytest.mark.parametrize("failed", [False, True])
def test_it_is_raised_after_the_end_and_only_in_a_test_that_passed(failed: bool) -> None:
    item: Any = SimpleNamespace(stash=pytest.Stash(), nodeid="test_it")
    item.stash[FAILED] = failed
    cluster, order = ended(None, unchecked={1: "1 x event exit"}), []
    try:
        with ends_of_test(cluster, item, []):
            order.append("end")
            assert not cluster.journal.unchecked
    except UncheckedExpectation:
        order.append("raised")
    assert order == (["end"] if failed else ["end", "raised"])
