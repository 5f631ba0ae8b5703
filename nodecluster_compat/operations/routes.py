"""Answer HTTP requests for what can be read of a server: a table of paths.  Pure, but for what a path's handler reads.

The same table serves the control socket and an admin address.  Only GET and HEAD are answered, so nothing that comes
this way changes anything.
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from typing import Any, Final, TypeAlias

from msgspec import Struct

from ..base.json_text import encode_json
from .control_frames import Garbage, HttpHead

__all__ = ["JSON_TYPE", "HttpAnswer", "RouteHandler", "Routes", "json_answer", "text_answer"]

JSON_TYPE: Final = "application/json"
_TEXT_TYPE: Final = "text/plain; charset=utf-8"
_REASONS: Final = {200: "OK", 304: "Not Modified", 400: "Bad Request", 403: "Forbidden", 404: "Not Found",
                   405: "Method Not Allowed", 500: "Internal Server Error", 503: "Service Unavailable"}  # fmt: skip


class HttpAnswer(Struct, frozen=True):
    """An answer.

    Attributes:
        status: 200, 404 and the like.
        content_type: of the body.
        body: all of it.
        headers: further ones.
    """

    status: int
    content_type: str
    body: bytes
    headers: Mapping[str, str] = {}

    def encoded(self, *, with_body: bool = True) -> bytes:
        """Return the answer as it is sent; the connection is closed after it."""
        body = {"Content-Type": self.content_type, "Content-Length": str(len(self.body))}
        fields = {
            **({} if self.status == 304 else body),
            "Cache-Control": "no-store",
            "X-Content-Type-Options": "nosniff",
            "Connection": "close",
            **self.headers,
        }
        lines = "".join(f"{name}: {value}\r\n" for name, value in fields.items())
        head = f"HTTP/1.1 {self.status} {_REASONS.get(self.status, 'Unknown')}\r\n{lines}\r\n".encode("latin-1")
        return head + self.body if with_body else head


RouteHandler: TypeAlias = Callable[[HttpHead], HttpAnswer]


def json_answer(data: Mapping[str, Any], status: int = 200) -> HttpAnswer:
    """Return an answer that holds ``data``."""
    return HttpAnswer(status, JSON_TYPE, encode_json(data) + b"\n")


class Routes:
    """Finds what can be read, by path.  A capability adds its own by :meth:`on`."""

    def __init__(self) -> None:
        self._handlers: dict[str, RouteHandler] = {}

    def on(self, path: str, handler: RouteHandler) -> None:
        """Let ``handler`` answer for ``path`` from now on.

        Args:
            path: without a query, such as ``/metrics``.
            handler: called with the request on the primary's thread; must not wait.

        Raises:
            ValueError: another one does.
        """
        if path in self._handlers:
            raise ValueError(f"expected a new path, got {path!r}, which has a handler")
        self._handlers[path] = handler

    def answer(self, request: HttpHead | Garbage) -> bytes:
        """Return what is to be sent; whatever a handler raises is an answer, too."""
        if isinstance(request, Garbage):
            return text_answer(400, request.reason).encoded()
        if request.method not in ("GET", "HEAD"):
            answer = text_answer(405, "expected GET or HEAD: nothing is changed this way", {"Allow": "GET, HEAD"})
            return answer.encoded()
        handler = self._handlers.get(request.target.partition("?")[0])
        if handler is None:
            known = ", ".join(sorted(self._handlers))
            return text_answer(404, f"expected one of {known}").encoded(with_body=request.method == "GET")
        try:
            answer = handler(request)
        except Exception as error:  # noqa: BLE001 - told to the client
            answer = text_answer(500, f"{type(error).__name__}: {error}")
        return answer.encoded(with_body=request.method == "GET")


def text_answer(status: int, text: str, headers: Mapping[str, str] | None = None) -> HttpAnswer:
    """Return an answer that says ``text``."""
    return HttpAnswer(status, _TEXT_TYPE, f"{text}\n".encode(errors="backslashreplace"), headers or {})
