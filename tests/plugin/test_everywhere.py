"""Whether all workers agree, and what is shown when they do not."""

from __future__ import annotations

from typing import Any

import pytest

from pytest_cluster.everywhere import Result, assert_same, value_in_all


def told(*results: Result) -> list[str]:
    """The lines of the error, for workers 1, 2, …"""
    with pytest.raises(AssertionError) as error:
        assert_same("shop:total", dict(enumerate(results, start=1)))
    return str(error.value).splitlines()


def test_equal_results_are_one() -> None:
    assert assert_same("f", {1: Result([1]), 2: Result([1])}) == [1]


def test_different_results_are_shown() -> None:
    lines = ["shop:total() is not the same in every worker:", "  worker 1: 3", "  worker 2: 4"]
    assert told(Result(3), Result(4)) == lines


def test_of_mappings_only_what_differs_is_shown() -> None:
    first: dict[str, Any] = {str(number): number for number in range(200)}
    assert told(Result(first), Result({**first, "7": "seven", "new": 1})) == [
        "shop:total() is not the same in every worker, in 2 of 201 items:",
        "  worker 1: {'7': 7}",
        "  worker 2: {'7': 'seven', 'new': 1}",
    ]


def test_of_sequences_only_what_differs_is_shown() -> None:
    first = list(range(100))
    assert told(Result(first), Result([*first[:99], -1, 5]))[0] == (
        "shop:total() is not the same in every worker (lengths: 100, 101), in 2 of 101 items:"
    )
    assert "in 100 of 100 items, the first 5:" in told(Result(first), Result([-1] * 100))[0]


def test_long_results_are_cut() -> None:
    assert told(Result("a" * 1000), Result(""))[1].endswith("… (1002 characters)")


def test_who_raises_differs_from_who_returns() -> None:
    lines = told(Result(error=ValueError("broken\nbadly")), Result(1))
    assert lines[1:] == ["  worker 1: raised ValueError: broken", "  worker 2: 1"]


def test_what_all_raise_is_raised() -> None:
    with pytest.raises(ValueError, match="first"):
        assert_same("f", {1: Result(error=ValueError("first")), 2: Result(error=KeyError("second"))})
    with pytest.raises(KeyError, match="second"):
        value_in_all({1: Result(0), 2: Result(error=KeyError("second"))})


def test_objects_that_only_look_the_same_are_explained() -> None:
    assert told(Result(object()), Result(object()))[-1] == (
        "they look the same, and are compared by identity: return plain data"
    )
