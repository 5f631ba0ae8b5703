"""What ``cluster.fork(env)`` makes of what a program gives."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from nodecluster_compat.errors import ArgumentError
from nodecluster_compat.roles.cluster import Cluster
from nodecluster_compat.roles.worker_environment import worker_environment


@pytest.mark.parametrize(
    ("value", "text"),
    [
        (8000, "8000"),
        (True, "true"),
        (False, "false"),
        (1.0, "1"),
        (1.5, "1.5"),
        ("", ""),
        (b"bytes", "bytes"),
        (Path("a/b"), "a/b"),
        ([1, "a", None, True], "1,a,,true"),
        (None, None),
    ],
)
def test_values_become_text_as_in_node(value: Any, text: str | None) -> None:
    """``None`` is Node's ``undefined``: the worker does not have it."""
    assert worker_environment({"X": value}) == {"X": text}


@pytest.mark.parametrize(
    ("env", "sentence"),
    [
        ("X=1", "expected a mapping"),
        ([("X", 1)], "expected a mapping"),
        ({"": "x"}, "expected the name of an environment variable"),
        ({"A=B": "x"}, "expected the name of an environment variable"),
        ({None: "x"}, "expected the name of an environment variable"),
        ({"X": "a\0b"}, "without NUL"),
        ({"X": {}}, r"json\.dumps\(\) makes text of it"),
        ({"X": object()}, r"json\.dumps\(\) makes text of it"),
    ],
)
def test_what_no_environment_can_have_is_refused(env: Any, sentence: str) -> None:
    """Where the call is made, before anything has happened."""
    with pytest.raises(ArgumentError, match=sentence):
        Cluster().fork(env)


def test_number_as_name() -> None:
    """An object's keys are text in JavaScript."""
    assert worker_environment({1: "x"}) == {"1": "x"}  # type: ignore[dict-item]
