"""Mutates inputs: deterministic for a given ``random.Random``, fast, and without a dependency."""

from __future__ import annotations

import random
from collections.abc import Sequence
from typing import Final

__all__ = ["mutated"]

MOST_BYTES: Final = 2048
_NUMBERS: Final = (0, 1, 0x7F, 0x80, 0xFF, 10, 13, 32, 34, 48, 57, 58)


def mutated(rng: random.Random, corpus: Sequence[bytes], words: Sequence[bytes], first: bytes | None = None) -> bytes:
    """Return one input: a seed, ``first`` or any, changed in one to eight places, or a splice of two."""
    data = bytearray(rng.choice(corpus) if first is None else first)
    for _ in range(1 << int(rng.random() * 4)):
        _change(rng, data, corpus, words)
    return bytes(data[:MOST_BYTES])


def _change(rng: random.Random, data: bytearray, corpus: Sequence[bytes], words: Sequence[bytes]) -> None:
    how = int(rng.random() * 8)
    at = int(rng.random() * (len(data) + 1))
    if how == 0 and at < len(data):
        data[at] ^= 1 << int(rng.random() * 8)
    elif how == 1 and at < len(data):
        data[at] = int(rng.random() * 256)
    elif how == 2 and at < len(data):
        data[at] = rng.choice(_NUMBERS)
    elif how == 3:
        del data[at : at + 1 + int(rng.random() * 8)]
    elif how == 4 and words:
        word = rng.choice(words)
        data[at : at + (len(word) if rng.random() < 0.5 else 0)] = word
    elif how == 5:
        data[at:at] = data[at : at + 1 + int(rng.random() * 32)]
    elif how == 6:
        other = rng.choice(corpus)
        data[at:] = other[int(rng.random() * (len(other) + 1)) :]
    else:
        data[at:at] = rng.randbytes(1 + int(rng.random() * 4))
