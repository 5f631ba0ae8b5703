"""Say how many inputs a property test makes up: some in the quick run, all with ``--hypothesis-profile=ci``."""

from __future__ import annotations

from hypothesis import settings

__all__ = ["drawn"]


def drawn(count: int) -> int:
    """As many of *count* as hypothesis' profile makes up of each hundred."""
    assert settings.default is not None
    return max(count * settings.default.max_examples // 100, 1)
