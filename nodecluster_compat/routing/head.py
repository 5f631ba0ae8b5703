"""Read the head of a request as far as routing needs it: the first line, a query value, a field, a cookie.  Pure.

This decides where a request is served, never what it means: the worker that serves it parses it itself.  So what is
odd here is simply not found.
"""

from __future__ import annotations

from functools import cached_property
from typing import Final
from urllib.parse import unquote_plus

__all__ = ["MOST_BYTES", "RequestHead", "first_line_ends", "head_ends"]

MOST_BYTES: Final = 64 * 1024
"""No head is waited for beyond this: gunicorn's own limits answer it where it is."""

_NEWLINES: Final = b"\r\n"


def first_line_ends(data: bytes | bytearray, start: int = 0) -> bool:
    """Return whether the first line of a request is whole; empty lines before it do not count.

    Args:
        data: what has come.
        start: how much of it had come when it was not whole.
    """
    if data[:1] in (b"\r", b"\n"):
        return data.lstrip(_NEWLINES).find(b"\n") >= 0
    return data.find(b"\n", start) >= 0


def head_ends(data: bytes | bytearray, start: int = 0) -> bool:
    """Return whether the head of a request is whole; as :func:`first_line_ends`."""
    if data[:1] in (b"\r", b"\n"):
        data, start = data.lstrip(_NEWLINES), 0
    start = max(0, start - 3)
    return data.find(b"\r\n\r\n", start) >= 0 or data.find(b"\n\n", start) >= 0


class RequestHead:
    """The head of one request.

    Args:
        data: what has come of the request; more than its head does no harm.

    Attributes:
        method: as the client spelt it; empty where the first line is garbage.
        target: of the request, as it came, with the query.
    """

    def __init__(self, data: bytes | bytearray) -> None:
        head = bytes(data).lstrip(b"\r\n")
        ends = [end for end in (head.find(b"\r\n\r\n"), head.find(b"\n\n")) if end >= 0]
        line, _, self._fields = (head[: min(ends)] if ends else head).partition(b"\n")
        words = line.decode("latin-1").split(" ")
        self.method, self.target = (words[0], words[1]) if len(words) > 1 else ("", "")

    @property
    def path(self) -> str:
        """The target without the query."""
        return self.target.partition("?")[0]

    def query(self, name: str) -> str | None:
        """Return the first value of a parameter of the query, decoded; ``None`` where there is none."""
        for pair in self.target.partition("?")[2].split("&"):
            key, _, value = pair.partition("=")
            if key == name:
                return unquote_plus(value)
        return None

    def field(self, name: str) -> str | None:
        """Return the first value of a field (a header), ``None`` where there is none; names are of any case."""
        return self._values.get(name.lower())

    def cookie(self, name: str) -> str | None:
        """Return the first value of a cookie, without quotes; ``None`` where there is none."""
        for pair in (self.field("cookie") or "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                return value.strip('"')
        return None

    @cached_property
    def _values(self) -> dict[str, str]:
        values: dict[str, str] = {}
        for line in self._fields.decode("latin-1").split("\n"):
            name, colon, value = line.partition(":")
            if colon:
                values.setdefault(name.lower(), value.strip())
        return values
