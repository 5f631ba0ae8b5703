"""Write a time as people and other programs read it: RFC 3339, in UTC."""

from __future__ import annotations

from datetime import datetime, timezone

__all__ = ["rfc3339"]


def rfc3339(seconds: float) -> str:
    """Return a time such as ``2026-11-28T23:19:37.123+00:00``.

    Args:
        seconds: since 1970.
    """
    return datetime.fromtimestamp(seconds, timezone.utc).isoformat(timespec="milliseconds")
