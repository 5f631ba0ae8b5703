"""Check arguments of public calls where they are made: a wrong one is refused by a sentence, not by a traceback."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable, Mapping
from typing import Any, Final

from ..errors import ArgumentError, ArgumentTypeError

__all__ = [
    "MOST_SECONDS",
    "checked_bytes",
    "checked_callable",
    "checked_options",
    "checked_seconds",
    "is_nan",
    "take_callback",
]

MOST_SECONDS: Final = 2**40
"""Some 34 000 years; a longer time counts as this one, since neither timers nor Redis take it."""


def checked_bytes(data: object) -> bytes:
    """Return what is to be written: bytes, or text as UTF-8.

    Raises:
        ArgumentTypeError: it is something else.
    """
    if isinstance(data, str):
        return data.encode()
    if not isinstance(data, bytes | bytearray | memoryview):
        raise ArgumentTypeError(f"expected bytes or text to write, got {type(data).__name__}")
    return bytes(data)


def checked_seconds(seconds: object) -> float:
    """Return how long a timer is to wait; less than 0 counts as 0, as in Node.

    Raises:
        ArgumentTypeError: it is no number of seconds.
    """
    if isinstance(seconds, bool) or not isinstance(seconds, int | float) or is_nan(seconds):
        raise ArgumentTypeError(f"expected a number of seconds, got {seconds!r}")
    return min(max(0.0, seconds), MOST_SECONDS)


def is_nan(number: object) -> bool:
    """Whether it is no number; unlike ``math.isnan`` it bears a whole number of any size."""
    return isinstance(number, float) and math.isnan(number)


def checked_callable(callback: Any, what: str) -> Callable[..., Any]:  # noqa: ANN401 - whatever a program gives
    """Return ``callback``.

    Raises:
        ArgumentTypeError: it is not callable.
    """
    if not callable(callback):
        raise ArgumentTypeError(f"expected a callable as {what}, got {callback!r}")
    checked: Callable[..., Any] = callback
    return checked


def take_callback(arguments: Iterable[object], callback: object) -> tuple[list[Any], Any]:
    """Find the callback where Node has it, after the last argument that is given.

    Args:
        arguments: those in front of it, as they came.
        callback: what came in its own place.

    Returns:
        The arguments, ``None`` from the callback on, and the callback or ``None``.

    Raises:
        ArgumentError: something follows the callback.
    """
    given = list(arguments)
    for place, argument in enumerate(given):
        if callable(argument):
            if callback is not None or any(later is not None for later in given[place + 1 :]):
                raise ArgumentError("expected the callback as the last argument, and only one")
            return [*given[:place], *[None] * (len(given) - place)], argument
    return given, callback


def checked_options(options: Mapping[Any, Any], names: Mapping[str, str], call: str) -> dict[str, Any]:
    """Return Node's options as keyword arguments.

    Args:
        options: by name, as Node spells it or as it is spelt here.
        names: what each is called here.
        call: of what they are options, for the sentence of an error.

    Raises:
        ArgumentError: there is no such option.
    """
    known = {**names, **{name: name for name in names.values()}}
    for name in options:
        if name not in known:
            from difflib import get_close_matches

            near = get_close_matches(str(name), known, 1)
            meant = f"did you mean {near[0]!r}?" if near else f"expected some of {', '.join(sorted(names.values()))}"
            raise ArgumentError(f"{call} has no option {name!r}: {meant}")
    return {known[name]: value for name, value in options.items() if value is not None}
