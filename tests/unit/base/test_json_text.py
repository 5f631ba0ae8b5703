"""Records as JSON."""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import Any

import pytest

from nodecluster_compat.base.json_text import encode_json


@dataclass(frozen=True, slots=True)
class Inner:
    name: str
    numbers: tuple[int, ...] = (1, 2)


@dataclass(frozen=True, slots=True)
class Outer:
    inner: Inner
    empty: None = None


@pytest.mark.parametrize("name", ["ü", "a\ud800b", "line\n"])
def test_records_are_objects_whatever_their_text(name: str) -> None:
    found = json.loads(encode_json({"outer": Outer(Inner(name)), "list": [Inner("x")]}))
    assert found["outer"] == {"inner": {"name": name, "numbers": [1, 2]}, "empty": None}
    assert found["list"][0]["name"] == "x"


def test_number_that_is_none_is_null() -> None:
    assert encode_json({"x": float("nan")}) == b'{"x":null}'


def test_number_may_have_any_size() -> None:
    assert json.loads(encode_json({"x": 2**64, "y": Inner("x", (2**80,))})) == {
        "x": 2**64,
        "y": {"name": "x", "numbers": [2**80]},
    }


@pytest.mark.parametrize("data", [{"x": object()}, {"x": [object(), "\ud800"]}])
def test_what_json_cannot_hold_is_refused(data: Any) -> None:
    with pytest.raises(TypeError):
        encode_json(data)
