"""What tests of messages share."""

from __future__ import annotations

from collections.abc import Iterator

import pytest

from nodecluster_compat.messages import reader


@pytest.fixture
def whole_slices(monkeypatch: pytest.MonkeyPatch) -> Iterator[None]:
    """Let no slice end by the clock, however busy the machine is: in Python nor in C."""
    reader._twin.cache_clear()
    monkeypatch.setattr(reader, "SLICE_SECONDS", 60.0)
    yield
    reader._twin.cache_clear()
