"""What the unit tests share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest
from own_descriptors import forget_others, own_descriptors


@pytest.fixture
def no_leaks() -> Iterator[None]:
    """Every descriptor that the test opened is closed at its end; ask for it with ``usefixtures``."""
    forget_others()
    before = own_descriptors()
    yield
    # A former test's may have been collected meanwhile.
    assert dict(own_descriptors().items() - before.items()) == {}
