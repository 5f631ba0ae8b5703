"""Look at the descriptors of this process."""

from __future__ import annotations

import contextlib
import gc
import os
from collections.abc import Iterator

import pytest

__all__ = ["forget_others", "no_leaks", "own_descriptors"]


def forget_others() -> None:
    """Collect what earlier tests have left, and keep the collector from the rest of it: call this as a test begins.

    A process that has run a thousand tests, and Hypothesis among them, takes 30 ms to look at all that lives.
    """
    gc.collect()
    gc.freeze()


def own_descriptors() -> dict[int, str]:
    """Return what this process has open, by number; first what this test has left is collected."""
    gc.collect()
    found = {}
    for name in os.listdir("/proc/self/fd"):
        with contextlib.suppress(FileNotFoundError):  # the listing's own
            found[int(name)] = os.readlink(f"/proc/self/fd/{name}")
    return found


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Every descriptor that the test opened is closed at its end; ask for it with ``usefixtures``."""
    forget_others()
    before = own_descriptors()
    yield
    # A former test's may have been collected meanwhile.
    assert dict(own_descriptors().items() - before.items()) == {}
