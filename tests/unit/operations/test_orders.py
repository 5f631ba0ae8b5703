"""Orders by their verb."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.errors import OrderRefused
from nodecluster_compat.operations.orders import Orders, no_arguments, number_of


@pytest.fixture
def orders() -> Orders:
    made = Orders()
    made.on("echo", "echo WORD...", "Say it", lambda words, answer: answer({"said": list(words)}))
    made.on("count", "count", "Count", no_arguments(lambda: {"count": 3}))
    return made


def given(orders: Orders, *words: str) -> Any:
    said: list[Any] = []
    orders.carry_out(words, said.append)
    return said[0]


def test_order_has_its_arguments(orders: Orders) -> None:
    assert given(orders, "ECHO", "a", "b") == {"said": ["a", "b"]}
    assert given(orders, "count") == {"count": 3}


def test_help_says_what_there_is(orders: Orders) -> None:
    assert given(orders) == given(orders, "help")
    assert given(orders)["commands"]["cluster echo WORD..."] == "Say it"


def test_unknown_order_is_told_the_known_ones(orders: Orders) -> None:
    with pytest.raises(OrderRefused, match="expected one of count, echo, help, got 'bogus'"):
        given(orders, "bogus")


def test_argument_too_many_is_refused(orders: Orders) -> None:
    with pytest.raises(OrderRefused, match="expected no argument, got 'x y'"):
        given(orders, "count", "x", "y")


def test_verb_has_one_handler(orders: Orders) -> None:
    with pytest.raises(ValueError, match="count"):
        orders.on("count", "", "", no_arguments(dict))


@pytest.mark.parametrize("text", ["", "x", "nan", "inf", "0", "31"])
def test_number_out_of_bounds_is_refused(text: str) -> None:
    assert number_of("2.5", "seconds", 1, 30) == 2.5
    with pytest.raises(OrderRefused, match="expected seconds from 1 to 30"):
        number_of(text, "seconds", 1, 30)
