"""Check the ``timeout`` that users give a drain.  Pure."""

from __future__ import annotations

from typing import Final

from ..errors import ArgumentError

__all__ = ["LONGEST", "checked_timeout", "is_timeout"]

LONGEST: Final = 1e9
"""Seconds; some thirty years, which every timer here can bear."""


def is_timeout(value: object) -> bool:
    """Whether ``value`` is a number of seconds that a drain can have."""
    return isinstance(value, int | float) and not isinstance(value, bool) and 0 <= value <= LONGEST


def checked_timeout(timeout: object) -> float | None:
    """Return the seconds that a drain may take; ``None`` for the usual limit.

    Raises:
        ArgumentError: it is no number, negative, or above :data:`LONGEST`.
    """
    if timeout is None:
        return None
    if is_timeout(timeout):
        return float(timeout)  # type: ignore[arg-type]
    raise ArgumentError(f"expected timeout to be a number of seconds from 0 to {LONGEST:.0f}, or None, got {timeout!r}")
