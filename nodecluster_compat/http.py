"""Offer Node's ``http``, as far as a cluster needs it: servers of WSGI applications, and the limits of requests.

    server = http.create_server(app)        # any WSGI callable: Flask, Django, ...
    server.listen(8000)

Requests are handled as by ``gunicorn -k nodecluster_compat.Worker``: the same code, the same settings.

In every kind of worker, and without effect elsewhere::

    @app.get("/report")
    @http.request_timeout(5)
    def report(): ...
"""

from __future__ import annotations

from collections.abc import Callable, Mapping
from functools import lru_cache, partial
from typing import TYPE_CHECKING, Any, Final

from .base.arguments import checked_callable, take_callback
from .base.arity import arity_of
from .base.this_request import ASKERS, RequestIdFilter, limit_request, request_id, request_timeout
from .errors import ArgumentError, ArgumentTypeError

if TYPE_CHECKING:
    from .gevent_runtime.servers.http_server import HttpServer
    from .gevent_runtime.servers.http_server import HttpServer as Server

__all__ = ["RequestIdFilter", "Server", "create_server", "limit_request", "request_id", "request_timeout"]

ASKERS.append(__name__)

_SETTINGS: Final = {
    "keepAliveTimeout": "keepalive=5, in seconds",
    "headersTimeout": "timeout=30, in seconds",
    "requestTimeout": "timeout=30, in seconds",
    "connectionsCheckingInterval": "timeout=30, in seconds",
    "maxHeaderSize": "limit_request_field_size=8190",
    "key": "keyfile=…",
    "cert": "certfile=…",
    "ca": "ca_certs=…",
}


def create_server(
    options: Mapping[str, Any] | Callable[..., Any] | None = None, application: Callable[..., Any] | None = None
) -> HttpServer:
    """Return a server that does not listen yet.

    Args:
        options: of each connection, as in Node: ``{"noDelay": True, "keepAlive": True}``; may be left out.
        application: any WSGI callable (PEP 3333).

    Raises:
        ArgumentError: there is no application, or an option that is a setting here.
    """
    made: HttpServer = _server_class()(options, application)
    return made


@lru_cache
def _server_class() -> Any:  # noqa: ANN401 - a class that is made when it is asked for
    from ._gunicorn.script.config import request_handler
    from .gevent_runtime.servers.http_server import HttpServer

    class Server(HttpServer):
        __doc__ = create_server.__doc__

        def __init__(self, options: Any = None, application: Any = None) -> None:  # noqa: ANN401 - as create_server
            (options,), application = take_callback((options,), application)
            _check_application(application)
            _check_options(options)
            super().__init__(partial(request_handler, application), options)

    return Server


def _check_application(application: Any) -> None:  # noqa: ANN401 - whatever a program gives
    checked_callable(application, "a WSGI application")
    arity = arity_of(application, "a WSGI application")
    if arity is not None and not arity.takes(2):
        raise ArgumentTypeError(
            "expected a WSGI application, which takes (environ, start_response), "
            f"got one that takes {arity.most} arguments"
        )


def _check_options(options: object) -> None:
    """Refuse, by what to write instead, an option that is one of gunicorn's settings here."""
    if not isinstance(options, Mapping):
        return
    for name in options:
        if name in _SETTINGS:
            raise ArgumentError(
                f"create_server() has no option {name!r}: write cluster.setup_primary({_SETTINGS[name]}) in the primary"
            )


def __getattr__(name: str) -> object:
    if name == "Server":  # loaded on demand: only script mode needs gevent for this
        return _server_class()
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
