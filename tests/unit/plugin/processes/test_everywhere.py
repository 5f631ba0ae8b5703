"""Whether all workers agree, and what is shown when they do not."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import pytest

from pytest_cluster.processes.everywhere import Result, assert_same, value_in_all


class Point(NamedTuple):
    x: int
    y: int


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
    assert told(Result(first), Result({**first, "7": "seven", "new": 1}), Result(first)) == [
        "shop:total() is not the same in every worker, in 2 of 201 items:",
        "  worker 1: '7': 7",
        "  worker 2: '7': 'seven', 'new': 1",
        "  worker 3: '7': 7",
    ]
    assert told(Result({"a": 1}), Result({"a": 1, "b": 2}))[1:] == ["  worker 1: none of them", "  worker 2: 'b': 2"]


def test_of_sequences_only_what_differs_is_shown() -> None:
    first = list(range(100))
    assert told(Result(first), Result([*first[:99], -1, 5])) == [
        "shop:total() is not the same in every worker, in 2 of 101 items:",
        "  worker 1: [99]: 99",
        "  worker 2: [99]: -1, [100]: 5",
    ]
    assert told(Result(first), Result([0, *([-1] * 99)]))[0].endswith(", in 99 of 100 items, the first 5:")


def test_what_differs_altogether_is_shown_as_it_is() -> None:
    assert told(Result([1]), Result([2]))[1:] == ["  worker 1: [1]", "  worker 2: [2]"]
    assert told(Result({"a": 1}), Result({}))[1:] == ["  worker 1: {'a': 1}", "  worker 2: {}"]
    lines = told(Result(Point(1, 2)), Result(Point(1, 3)))
    assert lines[1:] == ["  worker 1: Point(x=1, y=2)", "  worker 2: Point(x=1, y=3)"]


def test_of_long_results_what_is_around_the_difference_is_shown() -> None:
    first, second = told(Result("a" * 1000 + "b"), Result("a" * 1000 + "c"))[1:]
    assert (first, second) == (f"  worker 1: …{'a' * 40}b'", f"  worker 2: …{'a' * 40}c'")
    assert told(Result("a" * 1000), Result(""))[1].endswith("… (1002 characters)")


def test_who_raises_differs_from_who_returns() -> None:
    lines = told(Result(error=ValueError("broken\nbadly")), Result(1))
    assert lines[1:] == ["  worker 1: raised ValueError: broken", "  worker 2: 1"]


def test_what_all_raise_is_raised() -> None:
    with pytest.raises(ValueError, match="first"):
        assert_same("f", {1: Result(error=ValueError("first")), 2: Result(error=KeyError("second"))})
    with pytest.raises(KeyError, match="second"):
        value_in_all({1: Result(0), 2: Result(error=KeyError("second"))})


@pytest.mark.parametrize("make", [object, lambda: [float("nan")]])
def test_what_only_looks_the_same_is_explained(make: Callable[[], object]) -> None:
    assert told(Result(make()), Result(make()))[-1].startswith("they look the same, and do not compare equal")


def test_one_worker_agrees_with_itself() -> None:
    assert str(assert_same("f", {1: Result(float("nan"))})) == "nan"


class Array:
    """As numpy's: the answer to ``==`` is no yes and no no."""

    def __eq__(self, other: object) -> Any:
        return self

    __hash__ = None  # type: ignore[assignment]

    def __bool__(self) -> bool:
        raise ValueError("the truth value is ambiguous")


def test_what_cannot_be_compared_is_explained() -> None:
    (line,) = told(Result(Array()), Result(Array()))
    why = "cannot be compared (the truth value is ambiguous)"
    assert line == f"shop:total() returned Array objects that {why}: return plain data"
