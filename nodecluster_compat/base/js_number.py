"""Read text as a number as JavaScript does: where Node takes text for a port."""

from __future__ import annotations

import re
from typing import Final

__all__ = ["number_of"]

_DECIMAL: Final = re.compile(r"(?:[+-]?(?:[0-9]+\.?[0-9]*|\.[0-9]+)(?:[eE][+-]?[0-9]+)?|[+-]?Infinity)", re.ASCII)
_EXACT_DIGITS: Final = 15  # of an integer that is one as a float, too
_OTHER: Final = re.compile(r"0(?:[xX][0-9a-fA-F]+|[oO][0-7]+|[bB][01]+)", re.ASCII)


def number_of(text: str) -> float | int | None:
    """Return what ``Number(text)`` is in JavaScript; ``None``: not a number.

    Source: ECMAScript, StringToNumber.
    """
    text = text.strip()
    if not text:
        return 0
    if _OTHER.fullmatch(text):
        return int(text, 0)
    if not _DECIMAL.fullmatch(text):
        return None
    return int(text) if text.isdigit() and len(text) <= _EXACT_DIGITS else float(text)
