"""Know inputs again, in memory that does not grow: to do one twice finds nothing."""

from __future__ import annotations

from typing import Final
from zlib import crc32

__all__ = ["Repeats"]

_PLACES: Final = 1 << 29  # 64 MiB of bits: of ten million inputs, two in a hundred are taken for others


class Repeats:
    """The inputs that there were.

    Args:
        places: how many bits remember them, a multiple of 8; two inputs share one by chance.
    """

    def __init__(self, places: int = _PLACES) -> None:
        self._places = places
        self._bits = bytearray(places // 8)

    def is_one(self, data: bytes) -> bool:
        """Return whether there was this input, or one that shares its place; from now on there was."""
        at, bit = divmod(crc32(data) % self._places, 8)
        found = self._bits[at] >> bit & 1
        self._bits[at] |= 1 << bit
        return bool(found)
