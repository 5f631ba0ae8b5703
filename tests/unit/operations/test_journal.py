"""What the journal tells of a message."""

from __future__ import annotations

from typing import Any

import pytest

from nodecluster_compat.operations.journal import _told


@pytest.mark.parametrize("message", [None, 5, "text", {"a": [1, {"b": None}]}, list(range(1000))])
def test_ordinary_message_is_told_as_it_is(message: Any) -> None:
    assert _told(message) == {"message": message}


def test_large_message_is_told_by_its_beginning() -> None:
    assert _told("x" * 1_000_000) == {"text": '"' + "x" * (16 * 1024 - 1)}
    assert len(_told(list(range(1_000_000)))["text"]) < 200
    assert _told({1, 2})["text"] == "{1, 2}"


def test_message_without_an_end_is_told_in_short() -> None:
    """A list that contains one list twice, sixty levels deep; one that contains itself."""
    tower: list[Any] = []
    for _ in range(60):
        tower = [tower, tower]
    loop: list[Any] = []
    loop.append(loop)
    for message in (tower, loop):
        assert len(_told(message)["text"]) < 2000
