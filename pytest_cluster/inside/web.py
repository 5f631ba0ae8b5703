"""Wrap the WSGI application: mark each response with the worker's id, count requests, reach failpoints."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Iterator
from http import HTTPStatus
from types import MethodType
from typing import TYPE_CHECKING, Protocol, cast

from ..wire.records import HEADER, PAGE_HEADER
from ..wire.tallies import Tallies
from .armed import Answer
from .steps import Steps

if TYPE_CHECKING:
    from _typeshed import OptExcInfo
    from _typeshed.wsgi import StartResponse, WSGIApplication, WSGIEnvironment

__all__ = ["Connection", "MarkedSocket", "WrappedApplication"]


class Connection(Protocol):
    """A client's socket, as far as the server writes an error page to it."""

    def sendall(self, data: bytes, /) -> None:
        """Send all of it."""


class WrappedApplication:
    """A WSGI application around *application*."""

    def __init__(self, application: WSGIApplication, worker: int, tallies: Tallies, steps: Steps) -> None:
        self._application = application
        self._worker = worker
        self._tallies = tallies
        self._steps = steps

    def __call__(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        """Serve one request."""
        self._tallies.begin(self._worker)
        try:
            answer = self._answer(environ, _MarkedResponse(start_response, self._worker))
        except BaseException:
            self._tallies.end(self._worker)
            raise
        if not hasattr(answer, "__iter__") or isinstance(answer, environ.get("wsgi.file_wrapper", ())):
            self._end()  # a word to the server, or a file for sendfile: the server must see it as it is
            return answer
        return _Body(answer, self._end)

    def _end(self) -> None:
        self._tallies.end(self._worker)

    def _answer(self, environ: WSGIEnvironment, start_response: StartResponse) -> Iterable[bytes]:
        try:
            self._steps.reach("request")
        except Answer as answer:
            body = f"{answer.message}\n".encode()
            start_response(
                f"{answer.status} {_phrase(answer.status)}",
                [("Content-Type", "text/plain; charset=utf-8"), ("Content-Length", str(len(body)))],
            )
            return [body]
        return self._application(environ, start_response)


def _phrase(status: int) -> str:
    try:
        return HTTPStatus(status).phrase
    except ValueError:  # a proxy's own, as 520
        return "Unknown"


class _MarkedResponse:
    """``start_response`` that adds the worker's id; everything else is the server's own object's."""

    def __init__(self, start_response: StartResponse, worker: int) -> None:
        self._start_response = start_response
        self._worker = str(worker)

    @property
    def __self__(self) -> object:
        """The server's response, which a bound method has."""
        return cast("MethodType", self._start_response).__self__

    def __call__(
        self, status: str, headers: list[tuple[str, str]], *error: OptExcInfo | None
    ) -> Callable[[bytes], object]:
        return self._start_response(status, [*headers, (HEADER, self._worker)], *error)


class MarkedSocket:
    """A connection on which the server sends a whole response head, to which the worker's id is added."""

    def __init__(self, sock: Connection, worker: int) -> None:
        self._sock = sock
        self._field = f"{PAGE_HEADER}: {worker}\r\n".encode()

    def sendall(self, data: bytes) -> None:
        """Send the response of the server's own."""
        status, end, rest = data.partition(b"\r\n")
        self._sock.sendall(status + end + self._field + rest)

    def __getattr__(self, name: str) -> object:
        return getattr(self._sock, name)


class _Body:
    """The application's iterable; the request has ended when the server closes it."""

    def __init__(self, body: Iterable[bytes], on_end: Callable[[], None]) -> None:
        self._body = body
        self._on_end: Callable[[], None] | None = on_end

    def __iter__(self) -> Iterator[bytes]:
        return iter(self._body)

    def close(self) -> None:
        """Close the application's iterable, and end the request; the server calls it once."""
        on_end, self._on_end = self._on_end, None
        try:
            close = getattr(self._body, "close", None)
            if close is not None:
                close()
        finally:
            if on_end is not None:
                on_end()
