"""Read the head of a request as far as routing needs it: the first line, a query value, a field, a cookie.  Pure.

This decides where a request is served, never what it means: the worker that serves it parses it itself.  So what is
odd here is simply not found.
"""

from __future__ import annotations

from collections.abc import Iterator
from typing import Final
from urllib.parse import unquote_plus

__all__ = ["MOST_BYTES", "RequestHead", "first_line_ends", "head_ends"]

MOST_BYTES: Final = 64 * 1024
"""No head is waited for beyond this: gunicorn's own limits answer it where it is."""

_NEWLINES: Final = b"\r\n"
_COOKIE: Final = "cookie"


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

    __slots__ = ("_data", "_fields_at", "_values", "method", "target")

    def __init__(self, data: bytes | bytearray) -> None:
        if data[:1] in (b"\r", b"\n"):
            data = data.lstrip(_NEWLINES)
        self._data = data
        self._values: dict[str, str] | None = None
        end = data.find(b"\n")
        self._fields_at = end + 1 if end >= 0 else len(data)
        words = (data[:end] if end >= 0 else data).split(b" ", 2)
        if len(words) > 1:
            self.method, self.target = words[0].decode("latin-1"), words[1].decode("latin-1")
        else:
            self.method = self.target = ""

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
        if self._values is None:
            self._values = self._read_fields()
        return self._values.get(name.lower())

    def cookie(self, name: str) -> str | None:
        """Return the first value of a cookie, without quotes; ``None`` where there is none."""
        return next(self.cookies(name), None)

    def cookies(self, name: str) -> Iterator[str]:
        """Return all values of cookies of that name: those of several paths and domains come together."""
        for pair in (self.field(_COOKIE) or "").split(";"):
            key, _, value = pair.strip().partition("=")
            if key == name:
                yield value.strip('"')

    def _read_fields(self) -> dict[str, str]:
        data, start = self._data, max(0, self._fields_at - 1)  # the end of the line may begin the end of the head
        ends = [end for end in (data.find(b"\n\r\n", start), data.find(b"\n\n", start)) if end >= 0]
        fields = bytes(data[self._fields_at : min(ends)] if ends else data[self._fields_at :]).decode("latin-1")
        values: dict[str, str] = {}
        for line in fields.split("\n"):
            name, colon, value = line.partition(":")
            name, value = name.lower(), value.strip()
            if colon and name == _COOKIE and name in values:  # proxies make several of those of HTTP/2
                values[name] += f"; {value}"
            elif colon:
                values.setdefault(name, value)
        return values
