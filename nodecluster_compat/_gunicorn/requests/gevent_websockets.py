"""Serve websockets by gevent-websocket within gunicorn's gevent worker: ``environ["wsgi.websocket"]``.

gevent-websocket has a handler for gevent's own server.  Here that handler answers the upgrade and runs the application,
and gunicorn has read the request: so settings, limits, hooks and the access log are gunicorn's, as for other requests.
"""

from __future__ import annotations

import struct
from collections.abc import Callable, Iterable
from contextlib import suppress
from typing import TYPE_CHECKING, Any, Final

from gevent import GreenletExit
from geventwebsocket.handler import WebSocketHandler

if TYPE_CHECKING:
    from ..gunicorn_types import Environ

__all__ = ["WithWebSockets"]

_RESTART: Final = struct.pack("!H", 1012)  # "service restart": come back


class _Server:
    """What the handler asks of gevent's server."""

    def __init__(self, application: Callable[..., Any], logger: object) -> None:
        self.application = application
        self.logger = logger
        self.clients: dict[object, Any] = {}


class _Restarting:
    """The application behind a websocket: its client is told to come back when its time is over."""

    def __init__(self, application: Callable[..., Any]) -> None:
        self._application = application

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Run the application; at the limit of a drain its greenlet is killed."""
        try:
            return list(self._application(environ, start_response))
        except GreenletExit:
            websocket = environ["wsgi.websocket"]
            with suppress(Exception):  # the client may be gone
                websocket.send_frame(_RESTART, websocket.OPCODE_CLOSE)
                websocket.closed = True
            raise

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - what gevent-websocket looks for: app_protocol, current_app
        return getattr(self._application, name)


class _Upgrade(WebSocketHandler):  # type: ignore[misc]  # gevent-websocket has no types
    """One request that asks for a websocket; gevent's server is not there, so its constructor is not called."""

    def __init__(self, environ: Environ, server: _Server) -> None:
        self.environ = environ
        self.server = server
        self.application = server.application
        self.socket = environ["gunicorn.socket"]
        self.rfile = self.socket.makefile("rb", -1)
        self.client_address = environ.get("REMOTE_ADDR"), environ.get("REMOTE_PORT"), id(self)
        self.request_version = environ["SERVER_PROTOCOL"]
        self.refusal: tuple[str, list[tuple[str, str]]] | None = None

    def answered(self) -> Iterable[str]:
        """Upgrade the connection, or return the lines of a refusal."""
        try:
            return self.upgrade_websocket() or ()
        except ValueError:  # gevent-websocket expects a TypeError, which Python 2 raised
            self.start_response("400 Bad Request", [])
            return ["Invalid key"]

    def start_response(self, status: str, headers: list[tuple[str, str]], exc_info: object = None) -> None:
        """Replaces the handler's: an upgrade is answered here, a refusal by gunicorn."""
        if not status.startswith("101"):
            self.refusal = status, headers
            return
        lines = [f"HTTP/1.1 {status}", *(f"{name}: {value}" for name, value in headers)]
        self.socket.sendall("\r\n".join([*lines, "", ""]).encode("latin-1"))


class WithWebSockets:
    """A WSGI application whose websockets are gevent-websocket's.

    Args:
        application: finds its websocket in ``environ["wsgi.websocket"]``.
        logger: gunicorn's.
        query: what the query of a request must have, for which that is so.
    """

    def __init__(self, application: Callable[..., Any], logger: object, query: str = "") -> None:
        self._application = application
        self._query = query
        self._server = _Server(_Restarting(application), logger)

    def __call__(self, environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        """Serve a request; one that became a websocket ends its connection."""
        is_upgrade = environ.get("HTTP_UPGRADE", "").lower() == "websocket" and "gunicorn.socket" in environ
        if not is_upgrade or self._query not in environ["QUERY_STRING"]:
            answer: Iterable[bytes] = self._application(environ, start_response)
            return answer
        upgrade = _Upgrade(environ, self._server)
        said = upgrade.answered()
        if upgrade.refusal is not None:
            start_response(*upgrade.refusal)
            return [line.encode() for line in said]
        if not hasattr(upgrade, "websocket"):
            return self._application(environ, start_response)  # type: ignore[no-any-return]
        upgrade.run_websocket()
        raise StopIteration  # gunicorn ends the connection, and answers nothing
