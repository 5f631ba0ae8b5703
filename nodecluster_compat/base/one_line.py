"""Escape control characters in what goes into a line of a log, so that it stays one line, whatever a client sent."""

from __future__ import annotations

import logging
import re
from collections.abc import Callable, Mapping
from numbers import Number
from typing import Final

__all__ = ["Lines", "OneLine", "one_line"]

# C0, DEL and C1; and what str.splitlines() and some viewers take for the end of a line.
_CONTROL: Final = re.compile("[\x00-\x1f\x7f-\x9f\u2028\u2029]")


class Lines(str):
    """Text that is meant to have several lines, such as stacks."""

    __slots__ = ()


def one_line(text: str) -> str:
    r"""Return ``text`` with each control character as ``\x0a`` or ``\u2028``."""
    return text if text.isprintable() else _CONTROL.sub(_escaped, text)


class OneLine(logging.Filter):
    """Lets every record pass, and escapes what is put into those that it is meant for.

    Args:
        is_meant: whether a record is one of ours; an application may log several lines if it likes.
    """

    def __init__(self, is_meant: Callable[[logging.LogRecord], bool]) -> None:
        super().__init__()
        self._is_meant = is_meant

    def filter(self, record: logging.LogRecord) -> bool:
        """Escape the arguments of ``record``; its own words are ours."""
        args = record.args
        if args and self._is_meant(record):
            if isinstance(args, tuple):
                record.args = tuple(map(_argument, args))
            elif isinstance(args, Mapping):
                record.args = {name: _argument(value) for name, value in args.items()}
        return True


class _Escaped:
    """Stands in for an object in a record."""

    __slots__ = ("_object",)

    def __init__(self, value: object) -> None:
        self._object = value

    def __str__(self) -> str:
        return one_line(str(self._object))

    def __repr__(self) -> str:
        return one_line(repr(self._object))


def _argument(value: object) -> object:
    if value is None or isinstance(value, Lines | Number):
        return value
    return one_line(value) if isinstance(value, str) else _Escaped(value)


def _escaped(match: re.Match[str]) -> str:
    code = ord(match.group())
    return f"\\x{code:02x}" if code < 0x100 else f"\\u{code:04x}"
