"""Encode the body of a request: a form, files, JSON, bytes; as requests and httpx do, and Flask's client with files."""

from __future__ import annotations

import json as jsons
import os
from collections.abc import Iterable, Iterator, Mapping
from typing import Any, TypeAlias

from ..errors import MissingLibrary, OptionError

__all__ = ["Files", "Pairs", "encoded_body", "named_values", "text_pairs"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and values of a query or a form; a list or a tuple is several values of its name."""
Files: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and files: bytes, a file, or ``(filename, content)``, or these and a type, and its header fields."""

SEVERAL = (list, tuple, set, frozenset, range)
MOST_PARTS_OF_A_FILE = 4


def encoded_body(options: Mapping[str, Any]) -> tuple[bytes | None, str]:
    """Return the body that these keywords mean, and the content type that goes with it.

    :raises OptionError: two of them say what it is, or one cannot be.
    """
    said = [name for name in ("body", "data", "json", "files") if _says(name, options.get(name))]
    if len(said) > 1 and said != ["data", "files"]:
        raise OptionError(f"a request has one body, and {' and '.join(said)} are given: give one (or data and files)")
    if "json" in said:
        return jsons.dumps(options["json"]).encode(), "application/json"
    if "body" in said:
        return _bytes(options["body"]), ""
    data = _read(options.get("data"))
    if isinstance(data, bytes):
        if "files" in said:
            raise OptionError("a request with files has its data as a mapping, not as text")
        return data, ""
    return _encoded_form(named_values("data", data), named_values("files", options.get("files")))


def _says(name: str, value: object) -> bool:
    """Whether a keyword says anything: an empty form or no files beside another body do not, as in requests."""
    return value is not None and (name in ("body", "json") or bool(value))


def _read(data: Any) -> Any:  # noqa: ANN401 - what a test gives
    """Return text, a file and parts of a body as bytes; a form as it is."""
    if hasattr(data, "read"):
        data = data.read()
    elif isinstance(data, Iterator):
        parts = list(data)
        data = parts if any(isinstance(one, tuple) for one in parts) else b"".join(map(_part, parts))
    if isinstance(data, str):
        return data.encode()
    return bytes(data) if isinstance(data, bytes | bytearray | memoryview) else data


def _part(part: object) -> bytes:
    if not isinstance(part, bytes | str):
        raise OptionError(f"data: expected parts that are bytes or text, got {part!r:.100}")
    return part.encode() if isinstance(part, str) else part


def _bytes(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise OptionError(f"body: expected bytes, got {body!r:.100}; data takes text and forms, json any value")
    return bytes(body)


def _encoded_form(fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> tuple[bytes | None, str]:
    plain = [(name, value) for name, value in fields if not _is_file(value)]
    uploads = [*files, *((name, _renamed(value)) for name, value in fields if _is_file(value))]
    if uploads:
        return _multipart(plain, uploads)
    if not plain:
        return None, ""
    from urllib.parse import urlencode

    return urlencode(text_pairs(plain)).encode(), "application/x-www-form-urlencoded"


def _multipart(fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> tuple[bytes, str]:
    try:
        from urllib3.fields import RequestField
        from urllib3.filepost import encode_multipart_formdata
    except ImportError:
        raise MissingLibrary("sending files", "urllib3") from None
    parts: list[Any] = text_pairs(fields)
    for field, value in files:
        filename, data, kind, headers = _upload(field, value)
        part = RequestField(field, data, filename, headers)
        part.make_multipart(content_type=kind)
        parts.append(part)
    return encode_multipart_formdata(parts)


def _upload(field: str, value: object) -> tuple[str | None, bytes, str | None, Mapping[str, str] | None]:
    """Return name, content, type and header fields of a file; without a name it is a plain field, as in requests."""
    name, content, kind, headers = _parts_of_file(field, value)
    read = getattr(content, "read", None)
    data = read() if read is not None else content
    if not isinstance(data, bytes | bytearray | str):
        raise OptionError(f"files: expected bytes, text or an open file for {field!r}, got {data!r:.100}")
    return name, data.encode() if isinstance(data, str) else bytes(data), kind, headers


def _parts_of_file(field: str, value: object) -> tuple[Any, Any, Any, Any]:
    if not isinstance(value, tuple):
        named = _name_of(value, field)
        return named, value, _guessed(named), None
    if not 1 < len(value) <= MOST_PARTS_OF_A_FILE:
        raise OptionError(
            f"files: expected (filename, content), and its type and header fields, for {field!r}, got {value!r:.100}"
        )
    name, content, kind, headers = (*value, None, None)[:MOST_PARTS_OF_A_FILE]
    name = None if name is None else str(name)
    return name, content, kind or (None if name is None else _guessed(name)), headers


def _guessed(filename: str) -> str:
    from mimetypes import guess_type

    return guess_type(filename)[0] or "application/octet-stream"


def _name_of(file: object, field: str) -> str:
    name = getattr(file, "filename", None) or getattr(file, "name", None)
    return os.path.basename(name) if isinstance(name, str) and name else field


def _is_file(value: object) -> bool:
    """Whether this is a file among the values of a form, as Flask and Werkzeug have it: open, or with its name."""
    return hasattr(value, "read") or (isinstance(value, tuple) and bool(value) and hasattr(value[0], "read"))


def _renamed(value: object) -> object:
    """Put name and file into the order of requests; Flask has the file first."""
    return (value[1] if len(value) > 1 else "", value[0], *value[2:]) if isinstance(value, tuple) else value


def named_values(what: str, values: Pairs | None) -> list[tuple[str, Any]]:
    """Return names and values, a name with several values once for each of them.

    :raises OptionError: *what* is neither a mapping nor pairs.
    """
    if values is None:
        return []
    items = values.items() if isinstance(values, Mapping) else values
    try:
        found = [(str(name), value) for name, value in items]
    except (TypeError, ValueError):
        raise OptionError(f"{what}: expected a mapping or pairs, got {values!r:.100}") from None
    several = [(name, list(value) if _is_several(what, value) else [value]) for name, value in found]
    return [(name, one) for name, values in several for one in values if one is not None]


def _is_several(what: str, value: object) -> bool:
    """Whether this is several values of one name; a tuple may be a file."""
    return isinstance(value, list) or (what != "files" and isinstance(value, SEVERAL) and not _is_file(value))


def text_pairs(pairs: list[tuple[str, Any]]) -> list[tuple[str, str | bytes]]:
    """Return names and values as they go out: bytes stay, whatever else is written as text."""
    return [(name, value if isinstance(value, bytes) else str(value)) for name, value in pairs]
