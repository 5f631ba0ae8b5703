"""Cut what a client of the control socket sends into requests: gunicorn's frames, or one HTTP request.  Pure.

    frame = length (4 bytes, big endian) · JSON object: {"id": 1, "command": "show workers", "args": []}
    answer = length · {"id": 1, "status": "ok", "data": {...}}  or  {"id": 1, "status": "error", "error": "..."}

The first four bytes tell which it is: the letters of an HTTP method would be the length of a frame of more than a
gigabyte, which nobody may send.  Anything else is answered by a sentence, and the client's connection is closed.
"""

from __future__ import annotations

import json
import re
import struct
from collections.abc import Mapping, Sequence
from typing import Any, Final

from msgspec import Struct

from ..base.json_text import encode_json

__all__ = ["Frame", "Garbage", "HttpHead", "Parsed", "encode_answer", "encode_refusal", "first_request"]

_HEADER: Final = struct.Struct(">I")
MOST_BYTES: Final = 64 * 1024
"""Of one command, and of the head of an HTTP request.  gunicorn's longest command has thirty bytes."""

_ORIGIN: Final = re.compile(r"\Ahttps?://[^/?]*", re.IGNORECASE)  # before a path, as one asks a proxy
_HEAD_END: Final = b"\r\n\r\n"
_EXPECTED: Final = "expected gunicorn's control protocol (4 bytes of length, then a JSON object) or an HTTP GET"


class Frame(Struct, frozen=True):
    """A command as a client has sent it."""

    id: Any
    command: str
    args: tuple[str, ...] = ()


class HttpHead(Struct, frozen=True):
    """The head of an HTTP request.

    Attributes:
        method: such as ``GET``.
        target: a path, and a query.
        accept: what its ``Accept`` says, empty if it has none.
        if_none_match: likewise.
        host: likewise.
    """

    method: str
    target: str
    accept: str = ""
    if_none_match: str = ""
    host: str = ""


class Garbage(Struct, frozen=True):
    """Bytes that are no request, and how to answer them before the client is sent away."""

    reason: str
    is_http: bool = False


Parsed = Frame | HttpHead | Garbage


def first_request(received: bytes) -> tuple[Parsed, bytes] | None:
    """Return the first request and what follows it; ``None`` while it is not complete."""
    if len(received) < _HEADER.size:
        return None
    if received[: _HEADER.size].replace(b" ", b"").isalpha():
        return _first_head(received)
    return _first_frame(received)


def encode_answer(request_id: object, data: Mapping[str, Any]) -> bytes:
    """Return the answer to a command that was carried out."""
    return _framed({"id": request_id, "status": "ok", "data": data})


def encode_refusal(request_id: object, reason: str) -> bytes:
    """Return the answer to a command that was not."""
    return _framed({"id": request_id, "status": "error", "error": reason})


def _framed(answer: Mapping[str, Any]) -> bytes:
    payload = encode_json(answer)
    return _HEADER.pack(len(payload)) + payload


def _first_frame(received: bytes) -> tuple[Parsed, bytes] | None:
    length = _HEADER.unpack_from(received)[0]
    if length > MOST_BYTES:
        return Garbage(f"{_EXPECTED}; got a frame of {length} bytes, where {MOST_BYTES} are the most"), b""
    end = _HEADER.size + length
    if len(received) < end:
        return None
    return _decoded(received[_HEADER.size : end]), received[end:]


def _decoded(payload: bytes) -> Parsed:
    try:
        said = json.loads(payload)
    except (ValueError, RecursionError) as error:
        return Garbage(f"{_EXPECTED}; got what is no JSON: {error}")
    if not isinstance(said, dict) or not isinstance(said.get("command", ""), str):
        return Garbage(f'{_EXPECTED}; got JSON without a "command"')
    args, request_id = said.get("args") or [], said.get("id", 0)
    if not (isinstance(args, list) and all(isinstance(one, str | int | float) for one in args)):
        return Garbage(f'{_EXPECTED}; got "args" that are no list of words')
    if not isinstance(request_id, str | int | float | None):
        return Garbage(f'{_EXPECTED}; got an "id" that is neither a number nor text')
    return Frame(request_id, said.get("command", ""), tuple(map(str, args)))


def _first_head(received: bytes) -> tuple[Parsed, bytes] | None:
    head, end, _ = received.partition(_HEAD_END)
    if not end:
        if len(received) > MOST_BYTES:
            return Garbage(f"expected a head of at most {MOST_BYTES} bytes", is_http=True), b""
        return None
    line, *fields = head.decode("latin-1").split("\r\n")
    words = line.split(" ")
    if len(words) != 3 or not words[2].startswith("HTTP/1."):
        return Garbage("expected an HTTP/1.1 request, such as GET /status.json HTTP/1.1", is_http=True), b""
    target = _ORIGIN.sub("", words[1], count=1) or "/"
    accept, if_none_match, host = (_field(name, fields) for name in ("accept", "if-none-match", "host"))
    return HttpHead(words[0], target, accept, if_none_match, host.strip()), b""


def _field(name: str, fields: Sequence[str]) -> str:
    """Return what the fields of that name say together."""
    pairs = (field.partition(":") for field in fields)
    return ",".join(value for found, _, value in pairs if found.lower() == name)
