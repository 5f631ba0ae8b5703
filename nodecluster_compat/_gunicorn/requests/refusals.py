"""Refuse what the newest gunicorn refuses, with any gunicorn of the supported range.

Two servers in a row that understand a request differently can be made to pass on a request that the first one never
saw.  Each release of gunicorn refuses more of such requests.  The rules that came after the oldest supported release
are repeated here, on top of the older gunicorn's own parsing; :func:`strict_request` gives the newest gunicorn's own
class where there is nothing to add.

Sources: RFC 9110 §5.3, §5.5, §6.5.1 and §10.1.1; RFC 9112 §3.2, §6.1, §6.3 and §7.1; RFC 9931 §8.  Each rule has the
gunicorn that brought it.
"""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, Final

import gunicorn
from gunicorn.http import errors
from gunicorn.http.body import Body, ChunkedReader, LengthReader
from gunicorn.http.errors import InvalidHeader, InvalidHeaderName, InvalidRequestLine, UnsupportedTransferCoding
from gunicorn.http.message import Request

from .c_parser import has_lax_parser
from .chunks import StrictChunkedReader

if TYPE_CHECKING:
    from ..gunicorn_types import Headers, Unreader

__all__ = ["CONTROLS", "FORBIDDEN_TRAILERS", "StrictRequest", "refuse_repeats", "strict_request"]

_ALL_RULES_SINCE: Final = (27, 0, 0)

CONTROLS: Final = re.compile("[\x00-\x08\x0a-\x1f\x7f]")
"""What no field value may have (26.0)."""

FORBIDDEN_TRAILERS: Final = frozenset({"AUTHORIZATION", "CONTENT-LENGTH", "HOST", "TE", "TRAILER", "TRANSFER-ENCODING"})
"""Fields that would change, after the body, how the message is framed, routed or allowed (26.0)."""

_SINGLE_FIELDS: Final = frozenset({"HOST", "CONTENT-TYPE"})
_HAS_POLICY: Final = hasattr(Request, "_apply_header_policy")
_CODINGS: Final = frozenset({"chunked", "identity", "compress", "deflate", "gzip"})
_OUTSIDE_OF_TARGETS: Final = re.compile("[^\x21-\x7e]")


class StrictRequest(Request):  # type: ignore[misc]  # gunicorn has no type hints
    """An older gunicorn's request, which refuses what the newest one refuses."""

    cfg: Any
    unreader: Unreader
    headers: Headers
    method: str
    uri: str
    body: Any

    def parse(self, unreader: Unreader) -> bytes:
        """Extends gunicorn's, which reads the head: by its parser in C or in Python."""
        rest: bytes = super().parse(unreader)
        self._refuse_target()
        refuse_repeats(self.headers, self)
        for name, value in self.headers:
            if CONTROLS.search(value):
                raise InvalidHeader(name)
            if name == "EXPECT" and value.lower() != "100-continue":
                raise _unmet(value)
        return rest

    def _parse_fast(self, unreader: Unreader, buffer: bytearray) -> bytes:
        """Extends gunicorn's, which trusts any parser in C, and with it any peer's ``SCRIPT_NAME`` (before 26.0)."""
        read = self._parse_python if has_lax_parser() or not _HAS_POLICY else super()._parse_fast
        rest: bytes = read(unreader, buffer)
        return rest

    def parse_headers(self, data: bytes, from_trailer: bool = False) -> Headers:
        """Extends gunicorn's, which also reads trailers, and drops some fields whose values count all the same."""
        fields: Headers = super().parse_headers(data, from_trailer)
        for line in bytes(data).decode("latin-1").split("\r\n"):
            name, _, value = line.partition(":")
            if CONTROLS.search(value):
                raise InvalidHeader(name.upper())
        if from_trailer:
            for name, _ in fields:
                if name in FORBIDDEN_TRAILERS:
                    raise InvalidHeaderName(name)
            refuse_repeats(fields, self)
        return fields

    def set_body_reader(self) -> None:
        """Extends gunicorn's, which takes any white space around a coding for none, 0x85 too (27.0)."""
        super().set_body_reader()
        codings = [value for name, value in self.headers if name == "TRANSFER-ENCODING"]
        if codings:
            self._refuse_codings(codings)
        if isinstance(self.body.reader, ChunkedReader):
            self.body = Body(StrictChunkedReader(self, self.unreader))

    def should_close(self) -> bool:
        """Extends gunicorn's: what follows a CONNECT is another protocol's, never a request (27.0)."""
        return self.method == "CONNECT" or bool(super().should_close())

    def _refuse_target(self) -> None:
        """Printable ASCII (27.0); an asterisk only of OPTIONS, an authority only of CONNECT (26.0)."""
        target = self.uri
        is_authority = not target.startswith("/") and target != "*" and "://" not in target
        if (
            _OUTSIDE_OF_TARGETS.search(target)
            or (target == "*" and self.method != "OPTIONS")
            or (is_authority and self.method != "CONNECT")
        ):
            raise InvalidRequestLine(target)

    def _refuse_codings(self, values: list[str]) -> None:
        """A body without ``chunked`` at its end has no length that both sides would find (27.0)."""
        for value in values:
            if any(coding.strip(" \t").lower() not in _CODINGS for coding in value.split(",")):
                raise UnsupportedTransferCoding(value)
        if isinstance(self.body.reader, LengthReader):
            raise InvalidHeader("TRANSFER-ENCODING", req=self)


def refuse_repeats(fields: Headers, request: object) -> None:
    """Refuse a second field of those that cannot be merged (26.1).

    Args:
        fields: names in capitals, and values.
        request: what gunicorn's access log is told about.

    Raises:
        InvalidHeader: gunicorn's, which it answers with 400.
    """
    seen: set[str] = set()
    for name, _ in fields:
        if name in _SINGLE_FIELDS:
            if name in seen:
                raise InvalidHeader(name, req=request)
            seen.add(name)


def strict_request(version: tuple[int, ...] = gunicorn.version_info) -> type[Request]:
    """Return the class of requests for a gunicorn: its own, or the one that adds what it does not refuse yet."""
    return Request if version >= _ALL_RULES_SINCE and not has_lax_parser() else StrictRequest


def _unmet(expectation: str) -> Exception:
    """417, or 400 where gunicorn has no class for it (25.0)."""
    kind = getattr(errors, "ExpectationFailed", None)
    error: Exception = kind(expectation) if kind else InvalidHeader("EXPECT")
    return error
