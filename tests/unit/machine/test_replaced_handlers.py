"""Signal handlers that an application has replaced."""

from __future__ import annotations

import signal
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from nodecluster_compat.machine.replaced_handlers import replaced_handlers


def ours(number: int, frame: object) -> None:
    """Do nothing."""


def theirs(number: int, frame: object) -> None:
    """Do nothing."""


class Handler:
    def __call__(self, number: int, frame: object) -> None:
        """Do nothing."""


@pytest.fixture(autouse=True)
def restored() -> Iterator[None]:
    before = signal.getsignal(signal.SIGWINCH)
    yield
    signal.signal(signal.SIGWINCH, before)


@pytest.mark.parametrize(
    ("handler", "name"),
    [
        (theirs, f"{__name__}.theirs"),
        (Handler(), f"{__name__}.Handler"),
        (signal.SIG_IGN, "SIG_IGN"),
        (signal.SIG_DFL, "SIG_DFL"),
    ],
)
def test_handler_of_the_application_is_named(handler: Callable[..., Any], name: str) -> None:
    """Whatever it is."""
    signal.signal(signal.SIGWINCH, ours)
    assert replaced_handlers({signal.SIGWINCH: ours}) == []
    signal.signal(signal.SIGWINCH, handler)
    assert replaced_handlers({signal.SIGWINCH: ours}) == [f"SIGWINCH ({name})"]
