"""How much of pytest-timeout's time the waits of a test have."""

from __future__ import annotations

import pytest

from pytest_cluster.session.limits import time_for_waits


@pytest.mark.parametrize(("seconds", "waits"), [(100, 90), (25, 22.5), (10, 7.5), (4, 2), (1, 0.5)])
def test_time_that_waits_have(seconds: float, waits: float) -> None:
    """What has happened is still to be collected: from the beginning where a test has little time, too."""
    assert time_for_waits(seconds) == waits
