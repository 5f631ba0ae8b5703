"""What a function of a test has come to in a worker goes back to the test."""

from __future__ import annotations

import asyncio
import sys
from collections.abc import Callable

import pytest

from pytest_cluster.errors import RemoteError
from pytest_cluster.inside.functions import outcome_of
from pytest_cluster.wire.remote import value_of


def fail() -> None:
    pytest.fail("two owners")


def cancel() -> None:
    raise asyncio.CancelledError("too late")


@pytest.mark.parametrize(
    ("call", "error", "text"),
    [
        (fail, RemoteError, "^worker 1 raised Failed: two owners$"),
        (cancel, asyncio.CancelledError, "too late"),
    ],
)
def test_what_is_no_exception_goes_back_as_well(
    call: Callable[[], None], error: type[BaseException], text: str
) -> None:
    """The test would wait for an answer until its time-out."""
    outcome = outcome_of(call)

    with pytest.raises(error, match=text):
        value_of(outcome, "worker 1")


def test_what_ends_a_process_is_let_through() -> None:
    with pytest.raises(SystemExit):
        outcome_of(sys.exit)
