"""Text as a number, as JavaScript reads it."""

from __future__ import annotations

import math

import pytest

from nodecluster_compat.base.js_number import number_of


@pytest.mark.parametrize(
    ("text", "number"),
    [
        ("8000", 8000),
        (" 80\n", 80),
        ("", 0),
        ("8e3", 8000),
        ("1.5", 1.5),
        (".5", 0.5),
        ("5.", 5),
        ("-1", -1),
        ("+1", 1),
    ],
)
def test_decimal(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize(("text", "number"), [("0x1F90", 8080), ("0b11", 3), ("0O17", 15), ("007", 7)])
def test_other_bases(text: str, number: float) -> None:
    assert number_of(text) == number


@pytest.mark.parametrize("text", ["app.sock", "1_000", "0x", "-0x1", "1e", "\u00b2", "\u0664", "NaN", "inf", "--1"])
def test_what_is_no_number(text: str) -> None:
    assert number_of(text) is None


def test_what_has_no_end() -> None:
    assert number_of("Infinity") == number_of("1e999") == number_of("9" * 5000) == math.inf
