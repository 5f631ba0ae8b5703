"""Mix and draw numbers of 64 bits, by SplitMix64: small enough to be the same in C (``native/policies.c``).  Pure.

Not for secrets: one number gives away the next.
Source: G. Steele, D. Lea, C. Flood, *Fast Splittable Pseudorandom Number Generators*, 2014.
"""

from __future__ import annotations

from typing import Final

__all__ = ["below", "mixed", "stepped"]

_STEP: Final = 0x9E3779B97F4A7C15
_MASK: Final = (1 << 64) - 1


def mixed(number: int) -> int:
    """Return another number for each, of which every bit depends on all bits of ``number``."""
    number = (number ^ number >> 30) * 0xBF58476D1CE4E5B9 & _MASK
    number = (number ^ number >> 27) * 0x94D049BB133111EB & _MASK
    return number ^ number >> 31


def stepped(state: int, steps: int = 1) -> int:
    """Return the state after so many steps; from each, :func:`mixed` draws a number."""
    return (state + steps * _STEP) & _MASK


def below(state: int, count: int) -> int:
    """Draw a whole number from 0 to below ``count``."""
    return mixed(state) * count >> 64
