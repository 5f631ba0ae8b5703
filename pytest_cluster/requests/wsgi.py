"""Let the cluster answer where a WSGI application is asked for: the test clients of Werkzeug, WebTest and httpx."""

from __future__ import annotations

import http.client
import warnings
from collections.abc import Callable, Iterable, Mapping
from typing import IO, Any, TypeAlias
from urllib.parse import quote

from .response import Response

__all__ = ["HTTPS", "Environ", "WSGIFront", "request_of"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

Environ: TypeAlias = Mapping[str, Any]
HOP_BY_HOP = frozenset({"connection", "keep-alive", "transfer-encoding", "upgrade"})
CHUNK = 65536
HTTPS = ("X-Forwarded-Proto", "https")
"""By which gunicorn tells an application that a client has come by TLS."""
OF_THE_SERVER = frozenset({
    "CONTENT_LENGTH", "CONTENT_TYPE", "PATH_INFO", "QUERY_STRING", "RAW_URI", "REQUEST_METHOD", "REQUEST_URI",
    "SCRIPT_NAME", "SERVER_NAME", "SERVER_PORT", "SERVER_PROTOCOL", "SERVER_SOFTWARE",
})  # fmt: skip
HERE = ("", None, "127.0.0.1", "::1", "localhost")


class WSGIFront:
    """A WSGI application that sends each request to a cluster, and returns what one of the workers answers.

    :param ask: sends a request: method, path, header fields and body.
    """

    def __init__(self, ask: Callable[[str, str, dict[str, str], bytes | None], Response]) -> None:
        self._ask = ask

    def __call__(self, environ: Environ, start_response: Callable[..., object]) -> Iterable[bytes]:
        """Answer as PEP 3333 has it."""
        answer = self._ask(*request_of(environ))
        reason = answer.reason or http.client.responses.get(answer.status, "Unknown")
        fields = [(name, value) for name, value in answer.headers.items() if name.lower() not in HOP_BY_HOP]
        start_response(f"{answer.status} {reason}", fields)
        return [answer.body]


def request_of(environ: Environ) -> tuple[str, str, dict[str, str], bytes | None]:
    """Return method, path with query, header fields and body of what a WSGI environment describes."""
    body = _body_of(environ)
    headers = {
        name[5:].replace("_", "-").title(): str(value)
        for name, value in environ.items()
        if name.startswith("HTTP_") and name not in ("HTTP_", "HTTP_TRANSFER_ENCODING")
    }
    if environ.get("CONTENT_TYPE"):
        headers["Content-Type"] = environ["CONTENT_TYPE"]
    headers.setdefault("Host", _host_of(environ))
    if environ.get("wsgi.url_scheme") == "https":
        headers.setdefault(*HTTPS)
    _tell_of_what_stays(environ)
    return environ["REQUEST_METHOD"], _target_of(environ), headers, body


def _tell_of_what_stays(environ: Environ) -> None:
    """Warn of what a test has put into the environment and no request can carry."""
    names = (name for name in environ if "." not in name and not name.startswith("HTTP_"))
    stays = [name for name in names if name not in OF_THE_SERVER and not name.startswith("REMOTE_")]
    stays += [name for name in environ if name.startswith("REMOTE_") and environ[name] not in HERE]
    if stays:
        told = ", ".join(f"{name}={environ[name]!r:.50}" for name in stays)
        warnings.warn(
            f"{told}: workers do not see that: they make the environment of a request themselves, from its line, its "
            "header fields and its connection",
            stacklevel=2,
        )


def _target_of(environ: Environ) -> str:
    path = environ.get("SCRIPT_NAME", "") + environ.get("PATH_INFO", "")
    query = environ.get("QUERY_STRING", "")
    encoded = quote(path.encode("latin-1"), safe="/:@!$&'()*+,;=~-._") or "/"
    return f"{encoded}?{query}" if query else encoded


def _host_of(environ: Environ) -> str:
    name, port = environ.get("SERVER_NAME", "localhost"), str(environ.get("SERVER_PORT", "80"))
    return name if port in ("80", "443") else f"{name}:{port}"


def _body_of(environ: Environ) -> bytes | None:
    stream: IO[bytes] | None = environ.get("wsgi.input")
    length = str(environ.get("CONTENT_LENGTH") or "")
    if stream is None:
        return None
    if length.isdigit():
        return stream.read(int(length)) if int(length) else (b"" if environ.get("CONTENT_TYPE") else None)
    if environ.get("wsgi.input_terminated"):
        return b"".join(iter(lambda: stream.read(CHUNK), b"")) or None
    return None
