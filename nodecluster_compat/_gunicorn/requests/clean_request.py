"""Represent a clean request as gunicorn's request object: each attribute is made on its first use.

:mod:`clean_reader` reads such requests, and says what is clean.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cached_property
from typing import TYPE_CHECKING, Any

from gunicorn.http.body import Body
from gunicorn.http.message import Request

from .clean_head import Fields

if TYPE_CHECKING:
    from ..gunicorn_types import Created, Environ, Headers, Unreader

__all__ = ["CleanRequest"]


class CleanRequest(Request):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's request, with every attribute that it would have, each made when somebody asks for it.

    What is the same for all requests of a process is in the class that :class:`CleanReader` makes of this one.  What
    comes from its connection is set by that, where somebody is shown the request; a request does not know its
    connection, because what refers to itself outlives it until the garbage collector comes.

    Attributes:
        line: whatever begins with its first line.
        minor_version: as the parser in C says.
        parse: what reads requests, with the settings of this process.
        length: of the body, in bytes.
        body: none, unless its connection gives it one.
        ends: whether its connection ends with the answer, as far as ``Connection`` says; ``None``: nobody has asked.
        environ: becomes that of the application, where gunicorn is to serve the request.
        started: when it was counted, if it was.
        may_be_changed: whether somebody is shown requests before the application is, and may change them.
        created: the response and the environ, once somebody has begun to serve it and has not come to an end.
    """

    unreader: Unreader
    peer_addr: object
    req_number: int
    body: Body
    line: bytes
    minor_version: int
    parse: Callable[[bytes], Any]
    environ: Environ
    length: int
    ends: bool | None = None
    may_be_changed = False
    started: float | None = None
    created: Created | None = None

    __init__ = object.__init__  # not gunicorn's, which reads and parses

    @cached_property
    def fields(self) -> Fields:
        """As the parser in C says."""
        said: Fields = self.parse(self.line).headers
        return said

    @cached_property
    def method(self) -> str:
        """As gunicorn's."""
        return self.line.split(b" ", 1)[0].decode("ascii")

    @cached_property
    def uri(self) -> str:
        """As gunicorn's."""
        return self.line.split(b" ", 2)[1].decode("ascii")

    @cached_property
    def path(self) -> str:
        """As gunicorn's."""
        return self.uri.partition("?")[0]

    @cached_property
    def query(self) -> str:
        """As gunicorn's."""
        return self.uri.partition("?")[2]

    @cached_property
    def version(self) -> tuple[int, int]:
        """As gunicorn's."""
        return 1, self.minor_version

    @cached_property
    def remote_addr(self) -> object:
        """As gunicorn's."""
        return self.peer_addr

    @cached_property
    def headers(self) -> Headers:
        """As gunicorn's."""
        return [(bytes(name).decode("latin-1").upper(), value.decode("latin-1")) for name, value in self.fields]

    @cached_property
    def trailers(self) -> Headers:
        """As gunicorn's: a clean request has none."""
        return []

    def should_close(self) -> bool:
        """Extends gunicorn's: what it says of a ``Connection`` is remembered."""
        if self.must_close:
            return True
        if self.ends is None:
            self.ends = bool(super().should_close())
        return self.ends
