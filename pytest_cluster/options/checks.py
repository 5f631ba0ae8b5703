"""Check the numbers that a test gives, and refuse those that would have no effect."""

from __future__ import annotations

import math
import os

__all__ = ["check_count", "check_seconds", "cores", "is_count", "is_seconds", "most_workers", "too_many_workers"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

WORKERS_PER_CORE = 64


def cores() -> int:
    """Return how many processors this process may use."""
    return len(os.sched_getaffinity(0))


def most_workers() -> int:
    """Return the number above which a test asks for something by mistake."""
    return WORKERS_PER_CORE * cores()


def too_many_workers(count: int) -> str:
    """Return the sentence that refuses so many workers; empty when they can be."""
    if count <= most_workers():
        return ""
    return f"{count} workers are too many for this machine: with {cores()} cores at most {most_workers()}"


def is_count(value: object, least: int = 1, most: int | None = None) -> bool:
    """Whether this is a whole number from *least* to *most*."""
    if not isinstance(value, int) or isinstance(value, bool):
        return False
    return value >= least and (most is None or value <= most)


def is_seconds(value: object, *, can_be_zero: bool = False) -> bool:
    """Whether this is a time that something can last."""
    if not isinstance(value, int | float) or isinstance(value, bool) or not math.isfinite(value):
        return False
    return value > 0 or (can_be_zero and value == 0)


def check_count(what: str, value: object, least: int = 1, most: int | None = None) -> None:
    """Refuse what is no whole number from *least* to *most*.

    :raises OptionError: the sentence names *what* it is of.
    """
    if not is_count(value, least, most):
        from ..errors import OptionError  # a run without clusters, which reads settings, needs no errors

        bounds = f"{least} or more" if most is None else f"{least} to {most}"
        raise OptionError(f"{what}: expected a whole number, {bounds}, got {value!r:.100}")


def check_seconds(what: str, value: object, *, can_be_zero: bool = True) -> None:
    """Refuse what is no number of seconds.

    :raises OptionError: the sentence names *what* it is of.
    """
    if not is_seconds(value, can_be_zero=can_be_zero):
        from ..errors import OptionError

        bounds = "0 or more" if can_be_zero else "more than 0"
        raise OptionError(f"{what}: expected a number of seconds, {bounds}, got {value!r:.100}")
