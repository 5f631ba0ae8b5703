"""Requests that the newest gunicorn refuses and an older one took: each by what is wrong with it.

The application echoes what it reads (``tests/apps/echo.py``), so a fault of a body is a 500 of the application, or an
answer behind which the connection is closed.  What follows must never be served.
"""

from __future__ import annotations

from typing import Final

__all__ = ["BROKEN_BODIES", "REFUSED"]

_NEXT: Final = b"GET /next HTTP/1.1\r\nHost: next.test\r\nConnection: close\r\n\r\n"
_BODY: Final = b"3\r\nabc\r\n0\r\n\r\n"
_SPACES: Final = (0x0B, 0x0C, 0x1C, 0x1D, 0x1E, 0x1F, 0x85, 0xA0)
"""What ``str.strip`` takes for white space, and RFC 9110 does not."""


def _head(fields: bytes, line: bytes = b"POST /p") -> bytes:
    return line + b" HTTP/1.1\r\nHost: example.test\r\n" + fields + b"\r\n"


def _coded(coding: bytes) -> bytes:
    return _head(b"Transfer-Encoding: " + coding + b"\r\n") + _BODY


_CODINGS: Final = {
    f"coding: {name} 0x{space:02x}": _coded(coding % {b"s": bytes([space])})
    for space in _SPACES
    for name, coding in {
        "behind": b"%(s)bchunked",
        "before": b"chunked%(s)b",
        "in a list, at": b"gzip,%(s)bchunked",
        "alone, at": b"%(s)b",
        "around, at": b"%(s)bchunked%(s)b",
    }.items()
}

_FRAMING: Final = {
    "coding: identity alone": _coded(b"identity"),
    "coding: gzip alone": _coded(b"gzip"),
    "coding: gzip and a length": _head(b"Transfer-Encoding: gzip\r\nContent-Length: 3\r\n") + b"abc",
}

_FIELDS: Final = {
    "second host": _head(b"Host: evil.test\r\n", b"GET /"),
    "second host, the same": _head(b"Host: example.test\r\n", b"GET /"),
    "second host, in other letters": _head(b"hOST: evil.test\r\n", b"GET /"),
    "second host, empty": _head(b"Host:\r\n", b"GET /"),
    "second content type": _head(b"Content-Type: a/b\r\nContent-Type: c/d\r\n", b"GET /"),
    **{
        f"control 0x{control:02x} in a value": _head(b"X-A: 1%b2\r\n" % bytes([control]), b"GET /")
        for control in (0x01, 0x08, 0x0B, 0x0C, 0x0E, 0x1C, 0x1F, 0x7F)
    },
    "control in a field that is dropped": _head(b"X_A: 1\x0b2\r\n", b"GET /"),
}

_LINES: Final = {
    "target that is not ascii": _head(b"", b"GET /\xc3\xa9"),
    "target with 0x85": _head(b"", b"GET /\x85"),
    "target with a control": _head(b"", b"GET /\x01"),
    "target with delete": _head(b"", b"GET /\x7f"),
    "asterisk of a get": _head(b"", b"GET *"),
    "authority of a get": _head(b"", b"GET example.test:443"),
}

REFUSED: Final[dict[str, bytes]] = {
    name: request + _NEXT for name, request in {**_CODINGS, **_FRAMING, **_FIELDS, **_LINES}.items()
}
"""Refused by their head, with 400 or, for a coding that is not known, 501; another request follows each."""


def _chunked(body: bytes) -> bytes:
    return _head(b"Transfer-Encoding: chunked\r\n") + body


BROKEN_BODIES: Final[dict[str, bytes]] = {
    name: request + _NEXT
    for name, request in {
        **{
            f"trailer: {field}": _chunked(b"3\r\nabc\r\n0\r\n%b: x\r\n\r\n" % field.encode())
            for field in ("Host", "Content-Length", "Transfer-Encoding", "Trailer", "Authorization", "TE", "tE")
        },
        "trailer: second content type": _chunked(b"0\r\nContent-Type: a/b\r\nContent-Type: c/d\r\n\r\n"),
        "trailer: control": _chunked(b"0\r\nX-A: 1\x0b\r\n\r\n"),
        "trailer: bare lf": _chunked(b"0\r\nX-A: 1\nX-B: 2\r\n\r\n"),
        "extension: bare cr": _chunked(b"3;a\rb\r\nabc\r\n0\r\n\r\n"),
        "extension: bare lf": _chunked(b"3;a\nb\r\nabc\r\n0\r\n\r\n"),
        "extension: no token": _chunked(b"3;(\r\nabc\r\n0\r\n\r\n"),
        "extension: quotation that does not end": _chunked(b'3;a="\r\nabc\r\n0\r\n\r\n'),
        "extension: control": _chunked(b"3;a=\x0b\r\nabc\r\n0\r\n\r\n"),
        "size: 0x85 behind": _chunked(b"3\x85\r\nabc\r\n0\r\n\r\n"),
    }.items()
}
"""Refused when the body is read, by its chunks or its trailers."""
