"""A time-out is found in whatever was raised: by name, among causes, in groups."""

from __future__ import annotations

import pytest

from pytest_cluster.failures.error_chain import chain, is_timeout


@pytest.mark.parametrize(
    ("name", "expected"), [("ReadTimeout", True), ("TimeoutError", True), ("timeout", True), ("LookupError", False)]
)
def test_time_outs_by_name(name: str, expected: bool) -> None:
    """Those of HTTP clients, and before Python 3.11 that of ``concurrent.futures``, are no ``TimeoutError``."""
    assert is_timeout(type(name, (Exception,), {})("no answer")) is expected


def test_causes_and_members_come_once() -> None:
    cause, member = KeyError("cause"), ValueError("member")
    error = RuntimeError("top")
    error.__cause__ = cause
    error.exceptions = (member, cause)  # type: ignore[attr-defined]
    cause.__context__ = error
    assert list(chain(error)) == [error, cause, member]


def test_nothing_was_raised() -> None:
    assert list(chain(None)) == []
