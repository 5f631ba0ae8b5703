"""What the unit tests share."""

from __future__ import annotations

import contextlib
import os
from collections.abc import Iterator

import pytest


def open_descriptors() -> dict[int, str]:
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Every descriptor that the test opened is closed at its end; ask for it with ``usefixtures``."""
    before = open_descriptors()
    yield
    assert open_descriptors() == before
