"""The timeout of a drain."""

from __future__ import annotations

import pytest

from nodecluster_compat.base.drain_timeout import checked_timeout
from nodecluster_compat.errors import ArgumentError


@pytest.mark.parametrize(("given", "seconds"), [(None, None), (0, 0.0), (3, 3.0), (0.25, 0.25), (1e9, 1e9)])
def test_seconds_and_none_are_taken(given: object, seconds: float | None) -> None:
    """Nothing is the usual limit, which is not the same as 0."""
    assert checked_timeout(given) == seconds


@pytest.mark.parametrize("given", [-1, -0.001, True, False, "5", [], float("nan"), float("inf"), 10**400])
def test_anything_else_is_refused_with_a_sentence(given: object) -> None:
    """It names the argument and says what was expected, and what came."""
    with pytest.raises(ArgumentError, match="expected timeout to be a number of seconds from 0 to 1000000000"):
        checked_timeout(given)
