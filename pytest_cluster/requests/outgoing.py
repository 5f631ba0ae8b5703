"""Encode what a test says of a request: query, form, files, JSON, authentication; refuse keywords that there are not.

The keywords are those of requests and httpx, which Flask's and Django's clients share as far as they go.
"""

from __future__ import annotations

import base64
import difflib
import json as jsons
import os
import re
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, TypeAlias, TypedDict
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from ..errors import MissingLibrary, OptionError, UnknownKeyword
from ..values import Json

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BodyOptions", "Files", "Outgoing", "Pairs", "RequestOptions", "check_keywords", "encode"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Pairs: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and values of a query or a form; a list is several values of its name."""
Files: TypeAlias = Mapping[str, Any] | Iterable[tuple[str, Any]]
"""Names and files: bytes, a file, or ``(filename, content)``, or ``(filename, content, type)``."""


class BodyOptions(TypedDict, total=False):
    """Keywords of a request: its query, its header fields, its cookies, and its body in one of five ways."""

    params: Pairs | str | None
    headers: Mapping[str, str] | None
    cookies: Mapping[str, str] | None
    auth: tuple[str, str] | None
    body: bytes | None
    data: Pairs | bytes | str | None
    json: Json
    files: Files | None


class RequestOptions(BodyOptions, total=False):
    """All keywords of a request: *timeout* is seconds without a byte from the server."""

    follow_redirects: bool
    timeout: float | None


KEYWORDS = tuple(RequestOptions.__annotations__)

METHOD = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
SERVER = re.compile("https?://[^/?]*")
NEVER_IN_A_PATH = re.compile("[ \x80-\U0010ffff]+")

ELSEWHERE = {
    "allow_redirects": "follow_redirects",
    "content": "data, with bytes",
    "content_type": "headers={'Content-Type': …}",
    "follow": "follow_redirects",
    "form": "data",
    "mimetype": "headers={'Content-Type': …}",
    "query_string": "params",
    "stream": "cluster.connect(), for an answer that is read in parts",
    "verify": "nothing: certificates are not verified",
}
"""What other clients call it, and what it is here."""


def check_keywords(given: Iterable[str]) -> None:
    """Refuse keywords that a request does not have.

    :raises UnknownKeyword: a ``TypeError``; the sentence has the right ones.
    """
    for name in given:
        if name not in KEYWORDS:
            near = difflib.get_close_matches(name, KEYWORDS, 1)
            meant = ELSEWHERE.get(name) or (near[0] if near else "")
            hint = f" (say {meant})" if meant else ""
            raise UnknownKeyword(f"a request has no keyword {name!r}{hint}; it has {', '.join(KEYWORDS)}")


@dataclass(frozen=True, slots=True)
class Outgoing:
    """One request as it goes out: *target* is its path with the query."""

    method: str
    target: str
    headers: dict[str, str]
    body: bytes | None

    def has(self, field: str) -> bool:
        """Whether it has this header field."""
        return any(one.lower() == field.lower() for one in self.headers)


def encode(method: str, path: str, **options: Unpack[BodyOptions]) -> Outgoing:
    """Return the request that these keywords mean, without its cookies.

    :raises OptionError: two of them say what the body is, or one cannot be.
    """
    _check_line(method, path)
    fields = {what: _mapping(what, options.get(what)) for what in ("headers", "cookies")}
    headers = {str(name): str(value) for name, value in fields["headers"].items()}
    body, content_type = _encoded_body(options)
    if content_type and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    auth = options.get("auth")
    if auth is not None:
        headers["Authorization"] = _basic(auth)
    return Outgoing(method, _with_query(path, options.get("params")), headers, body)


def _check_line(method: object, path: object) -> None:
    if not isinstance(method, str) or not METHOD.fullmatch(method):
        raise OptionError(f"expected a method as 'GET', got {method!r:.100}; cluster.connect() sends what is no HTTP")
    if not isinstance(path, str):
        raise OptionError(f"expected a path as '/login', got {path!r:.100}")


def _mapping(what: str, given: object) -> Mapping[str, Any]:
    if given is not None and not isinstance(given, Mapping):
        raise OptionError(f"{what}: expected a mapping from names to values, got {given!r:.100}")
    return given or {}


def _encoded_body(options: BodyOptions) -> tuple[bytes | None, str]:
    """Return the body, and the content type that goes with it."""
    said = [name for name in ("body", "data", "json", "files") if options.get(name) is not None]
    if len(said) > 1 and said != ["data", "files"]:
        raise OptionError(f"a request has one body, and {' and '.join(said)} are given: give one (or data and files)")
    if options.get("json") is not None:
        return jsons.dumps(options["json"]).encode(), "application/json"
    if options.get("body") is not None:
        return _bytes(options["body"]), ""
    data, files = options.get("data"), options.get("files")
    if isinstance(data, bytes | bytearray | str):
        if files is not None:
            raise OptionError("a request with files has its data as a mapping, not as text")
        return data.encode() if isinstance(data, str) else bytes(data), ""
    fields = _pairs("data", data)
    uploads = [*_pairs("files", files), *((name, _renamed(value)) for name, value in fields if _is_file(value))]
    if uploads:
        return _multipart([(name, value) for name, value in fields if not _is_file(value)], uploads)
    return (urlencode(_text_pairs(fields)).encode(), "application/x-www-form-urlencoded") if fields else (None, "")


def _bytes(body: object) -> bytes:
    if not isinstance(body, bytes | bytearray | memoryview):
        raise OptionError(f"body: expected bytes, got {body!r:.100}; data takes text and forms, json any value")
    return bytes(body)


def _multipart(fields: list[tuple[str, Any]], files: list[tuple[str, Any]]) -> tuple[bytes, str]:
    try:
        from urllib3.filepost import encode_multipart_formdata
    except ImportError:
        raise MissingLibrary("sending files", "urllib3") from None
    parts: list[tuple[str, Any]] = [(name, str(value)) for name, value in fields]
    return encode_multipart_formdata([*parts, *((name, _upload(name, value)) for name, value in files)])


def _upload(field: str, value: object) -> tuple[str, bytes] | tuple[str, bytes, str]:
    """Return name, content and type of a file, as urllib3 takes it."""
    name, content, *kind = value if isinstance(value, tuple) else (_name_of(value, field), value)
    read = getattr(content, "read", None)
    data = read() if read is not None else content
    if not isinstance(data, bytes | str):
        raise OptionError(f"files: expected bytes, text or an open file for {field!r}, got {data!r:.100}")
    encoded = data.encode() if isinstance(data, str) else data
    return (str(name), encoded, str(kind[0])) if kind and kind[0] else (str(name), encoded)


def _name_of(file: object, field: str) -> str:
    name = getattr(file, "name", None)
    return os.path.basename(name) if isinstance(name, str) and name else field


def _is_file(value: object) -> bool:
    """Whether this is a file among the values of a form, as Flask and Werkzeug have it: open, or with its name."""
    return hasattr(value, "read") or (isinstance(value, tuple) and bool(value) and hasattr(value[0], "read"))


def _renamed(value: object) -> object:
    """Put name and file into the order of requests; Flask has the file first."""
    return (value[1] if len(value) > 1 else "", value[0], *value[2:]) if isinstance(value, tuple) else value


def _pairs(what: str, values: Pairs | None) -> list[tuple[str, Any]]:
    """Return names and values, a name with a list once for each of its values."""
    if values is None:
        return []
    items = values.items() if isinstance(values, Mapping) else values
    try:
        found = [(str(name), value) for name, value in items]
    except (TypeError, ValueError):
        raise OptionError(f"{what}: expected a mapping or pairs, got {values!r:.100}") from None
    several = [(name, value if isinstance(value, list) else [value]) for name, value in found]
    return [(name, one) for name, values in several for one in values if one is not None]


def _text_pairs(pairs: list[tuple[str, Any]]) -> list[tuple[str, Any]]:
    return [(name, value if isinstance(value, bytes) else str(value)) for name, value in pairs]


def _with_query(path: str, params: Pairs | str | None) -> str:
    """Put a query behind a path, or behind its own; a path without its slash gets one, as in a browser.

    Blanks and what is not ASCII are encoded; an escape stays as it is, and so does what no path can have.
    """
    if not path.startswith(("/", "http://", "https://")) and path != "*":
        path = f"/{path}"
    query = params if isinstance(params, str) else urlencode(_text_pairs(_pairs("params", params)))
    path = _encoded(path.partition("#")[0])
    if not query:
        return path
    return f"{path}{'&' if '?' in path else '?'}{query.removeprefix('?')}"


def _encoded(path: str) -> str:
    whose = SERVER.match(path)
    begin = 0 if whose is None else whose.end()
    try:
        return path[:begin] + NEVER_IN_A_PATH.sub(lambda found: quote(found[0]), path[begin:])
    except UnicodeEncodeError:
        raise OptionError(f"path: expected text that UTF-8 can carry, got {path!r:.100}") from None


def _basic(auth: object) -> str:
    if not (isinstance(auth, tuple) and len(auth) == 2 and all(isinstance(one, str) for one in auth)):
        raise OptionError(f"auth: expected a name and a password, got {auth!r:.100}; for others set Authorization")
    return f"Basic {base64.b64encode(':'.join(auth).encode()).decode()}"


def redirected(request: Outgoing, status: int, location: str) -> Outgoing:
    """Return the request that follows a redirect: a GET where browsers make it one, otherwise the same again."""
    changes = request.method not in ("GET", "HEAD") and (
        status == 303 or (status in (301, 302) and request.method == "POST")
    )
    if not changes:
        return Outgoing(request.method, location, request.headers, request.body)
    kept = {name: value for name, value in request.headers.items() if not name.lower().startswith("content-")}
    return Outgoing("GET", location, kept, None)


def own_path(target: str, location: str, hosts: Iterable[str]) -> str | None:
    """Return the path that a redirect from *target* leads to; ``None`` when that is on none of these *hosts*."""
    there = urlsplit(location)
    if there.scheme and there.scheme not in ("http", "https"):
        return None
    if there.netloc and there.netloc.lower() not in {one.lower() for one in hosts}:
        return None
    path = urlunsplit(("", "", there.path or ("/" if there.netloc else ""), there.query, ""))
    base = urlsplit(target)
    return urljoin(urlunsplit(("", "", base.path or "/", base.query, "")), path) or "/"
