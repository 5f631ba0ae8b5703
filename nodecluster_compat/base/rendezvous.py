"""Choose the same place for the same value in every process: rendezvous hashing.  Pure.

A value has a number for each place, and belongs to the place with the highest.  When a place comes or goes, only the
values that belong to it move.
"""

from __future__ import annotations

from collections.abc import Iterable
from hashlib import blake2b

__all__ = ["place_of"]


def place_of(value: str, places: Iterable[int]) -> int | None:
    """Return the place, of those that there are, to which ``value`` belongs; ``None`` where there is none."""
    text = value.encode("utf-8", "surrogatepass")
    return max(places, key=lambda place: (_weight(text, place), place), default=None)


def _weight(value: bytes, place: int) -> bytes:
    return blake2b(value, digest_size=8, salt=place.to_bytes(8, "big")).digest()
