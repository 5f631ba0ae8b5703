"""Encode what a test says of a request: its query, its header fields; refuse unknown keywords.

The keywords are those of requests and httpx, which Flask's and Django's clients share as far as they go.
"""

from __future__ import annotations

import base64
import difflib
import re
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from typing import IO, TYPE_CHECKING, Any, TypedDict
from urllib.parse import quote, urlencode, urljoin, urlsplit, urlunsplit

from ..errors import OptionError, UnknownKeyword
from ..values import Json
from .bodies import Files, Pairs, encoded_body, named_values, text_pairs

if TYPE_CHECKING:
    from typing_extensions import Unpack

__all__ = ["BodyOptions", "Outgoing", "RequestOptions", "check_keywords", "cookies_of", "encode"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all


class BodyOptions(TypedDict, total=False):
    """Keywords of a request: its query, its header fields, its cookies, and its body in one of five ways."""

    params: Pairs | str | bytes | None
    headers: Mapping[str, Any] | Iterable[tuple[str, Any]] | None
    cookies: Mapping[str, Any] | Iterable[Any] | None
    auth: tuple[str, str] | tuple[bytes, bytes] | list[str] | None
    body: bytes | None
    data: Pairs | bytes | str | IO[bytes] | IO[str] | Iterable[bytes] | None
    json: Json
    files: Files | None


class RequestOptions(BodyOptions, total=False):
    """All keywords of a request: *timeout* is seconds without a byte from the server."""

    follow_redirects: bool
    timeout: float | tuple[float | None, float | None] | None


KEYWORDS = tuple(RequestOptions.__annotations__)

METHOD = re.compile(r"[\w!#$%&'*+.^`|~-]+", re.ASCII)
SERVER = re.compile("https?://[^/?]*")
NEVER_IN_A_PATH = re.compile("[ \x80-\U0010ffff]+")

_HEADERS = "headers={'Host': …}"
_NOTHING_ELSE = "headers: nothing else travels to a worker"
ELSEWHERE = {
    "allow_redirects": "follow_redirects",
    "as_tuple": "nothing: answer.url is what was asked for",
    "base_url": f"{_HEADERS} for another host: the client has the cluster's address",
    "buffered": "nothing: an answer is read to its end",
    "cert": "nothing: cluster.connect(), for certificates of one's own",
    "content": "data, with bytes",
    "content_type": "headers={'Content-Type': …}",
    "environ_base": _NOTHING_ELSE,
    "environ_overrides": _NOTHING_ELSE,
    "extensions": "timeout",
    "extra": "headers",
    "follow": "follow_redirects",
    "form": "data",
    "format": "json",
    "hooks": "nothing: look at the answer",
    "input_stream": "data, with a file",
    "mimetype": "headers={'Content-Type': …}",
    "proxies": "nothing: requests go straight to the cluster",
    "query": "params",
    "query_params": "params",
    "query_string": "params",
    "secure": "headers={'X-Forwarded-Proto': 'https'}",
    "stream": "cluster.connect(), for an answer that is read in parts",
    "subdomain": _HEADERS,
    "url": "the path first, without a name",
    "verify": "nothing: certificates are not verified",
}
"""What other clients call it, and what it is here."""


def check_keywords(given: Iterable[str]) -> None:
    """Refuse keywords that a request does not have.

    :raises UnknownKeyword: a ``TypeError``; the sentence has the right ones.
    """
    for name in given:
        if name not in KEYWORDS:
            meant = _meant(name)
            hint = f" (say {meant})" if meant else ""
            raise UnknownKeyword(f"a request has no keyword {name!r}{hint}; it has {', '.join(KEYWORDS)}")


def _meant(name: str) -> str:
    """Return what another client's keyword is here, or the nearest of ours; nothing where there is none."""
    if name.startswith("HTTP_"):  # as in a WSGI environment: Django's client
        return f"headers={{{name[5:].replace('_', '-').title()!r}: …}}"
    return ELSEWHERE.get(name) or next(iter(difflib.get_close_matches(name, KEYWORDS, 1)), "")


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
    headers = _header_fields(options.get("headers"))
    body, content_type = encoded_body(options)
    if content_type and not any(name.lower() == "content-type" for name in headers):
        headers["Content-Type"] = content_type
    auth = options.get("auth")
    if auth is not None:
        headers["Authorization"] = _basic(auth)
    return Outgoing(method, _with_query(path, options.get("params")), headers, body)


def cookies_of(given: Mapping[str, Any] | Iterable[Any] | None) -> dict[str, str]:
    """Return the cookies of one request by name: a mapping, pairs, or a jar of ``http.cookiejar``.

    :raises OptionError: they are none of that.
    """
    jar = [] if given is None or isinstance(given, Mapping) else _list("cookies", given)
    if jar and all(hasattr(one, "name") and hasattr(one, "value") for one in jar):
        return {one.name: one.value or "" for one in jar}
    return {name: str(value) for name, value in _fields("cookies", jar or given)}


def _header_fields(given: Mapping[str, Any] | Iterable[tuple[str, Any]] | None) -> dict[str, str]:
    """Return header fields as they go out: several of one name as one, with commas; ``None`` is none."""
    found: dict[str, str] = {}
    for name, value in _fields("headers", given):
        text = value.decode("latin-1") if isinstance(value, bytes) else str(value)
        if not (name + text).isascii():
            _check_latin(name, name + text)
        former = next((one for one in found if one.lower() == name.lower()), name)
        found[former] = f"{found[former]}, {text}" if former in found else text
    return found


def _check_latin(name: str, text: str) -> None:
    try:
        text.encode("latin-1")
    except UnicodeEncodeError:
        raise OptionError(f"headers: {name!r} has characters that no header field can carry: {text!r:.100}") from None


def _fields(what: str, given: Any) -> Iterator[tuple[str, Any]]:  # noqa: ANN401 - what a test gives
    items = given.items() if hasattr(given, "items") else _list(what, given or ())
    for one in items:
        if not isinstance(one, tuple | list) or len(one) != 2:
            raise OptionError(f"{what}: expected a mapping from names to values, got {given!r:.100}")
        name, value = one
        if value is not None:
            yield (name.decode("latin-1") if isinstance(name, bytes) else str(name)), value


def _list(what: str, given: Any) -> list[Any]:  # noqa: ANN401 - what a test gives
    if isinstance(given, str | bytes) or not isinstance(given, Iterable):
        raise OptionError(f"{what}: expected a mapping from names to values, got {given!r:.100}")
    return list(given)


def _check_line(method: object, path: object) -> None:
    if not isinstance(method, str) or not METHOD.fullmatch(method):
        raise OptionError(f"expected a method as 'GET', got {method!r:.100}; cluster.connect() sends what is no HTTP")
    if not isinstance(path, str):
        raise OptionError(f"expected a path as '/login', got {path!r:.100}")


def _with_query(path: str, params: Pairs | str | bytes | None) -> str:
    """Put a query after a path, or after its own; a path without its slash gets one, as in a browser.

    Blanks and what is not ASCII are encoded; an escape stays as it is, and so does what no path can have.
    """
    if not path.startswith(("/", "http://", "https://")) and path != "*":
        path = f"/{path}"
    text = params.decode("latin-1") if isinstance(params, bytes) else params
    query = text if isinstance(text, str) else urlencode(text_pairs(named_values("params", text)))
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
    if not (isinstance(auth, tuple | list) and len(auth) == 2 and all(isinstance(one, str | bytes) for one in auth)):
        raise OptionError(
            f"auth: expected a name and a password, got {auth!r:.100}; a token goes into headers, as Authorization, "
            "and digest is spoken by requests and httpx, on cluster.url"
        )
    name, password = (one.encode() if isinstance(one, str) else one for one in auth)
    return f"Basic {base64.b64encode(name + b':' + password).decode()}"


def redirected(request: Outgoing, status: int, location: str) -> Outgoing:
    """Return the request that follows a redirect, as requests and httpx do: a GET, or the same again.

    A header field ``Cookie`` was for the first one; the jar has what goes with the next.
    """
    changes = request.method not in ("GET", "HEAD") and (
        status in (302, 303) or (status == 301 and request.method == "POST")
    )
    dropped = ("content-", "cookie") if changes else ("cookie",)
    kept = {name: value for name, value in request.headers.items() if not name.lower().startswith(dropped)}
    return Outgoing("GET", location, kept, None) if changes else Outgoing(request.method, location, kept, request.body)


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
