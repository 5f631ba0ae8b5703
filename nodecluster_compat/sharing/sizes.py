"""Read how many bytes something may have from a variable of the environment."""

from __future__ import annotations

import os
from typing import Final

from ..errors import SettingsError

__all__ = ["asked_bytes"]

_MOST_BYTES: Final = 2**46  # what a process can map, about


def asked_bytes(variable: str, least: int, default: int) -> int:
    """Return how many bytes the environment asks for.

    Args:
        variable: its name.
        least: how many it must be at least.
        default: how many where it is not set, or empty.

    Raises:
        SettingsError: it is no such number.
    """
    text = os.environ.get(variable, "")
    if not text:
        return default
    number = int(text) if text.isascii() and text.isdecimal() and len(text) < 20 else 0
    if not least <= number <= _MOST_BYTES:
        raise SettingsError(f"expected a whole number from {least} to {_MOST_BYTES} as {variable}, got {text[:40]!r}")
    return number
