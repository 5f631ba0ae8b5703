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

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from .base.arguments import checked_callable
from .base.arity import arity_of
from .base.this_request import RequestIdFilter, limit_request, request_id, request_timeout
from .errors import ArgumentTypeError

if TYPE_CHECKING:
    from .runtime.servers.http_server import HttpServer
    from .runtime.servers.http_server import HttpServer as Server

__all__ = ["RequestIdFilter", "Server", "create_server", "limit_request", "request_id", "request_timeout"]


def create_server(application: Callable[..., Any]) -> HttpServer:
    """Return a server that does not listen yet.

    Args:
        application: any WSGI callable (PEP 3333).
    """
    checked_callable(application, "a WSGI application")
    arity = arity_of(application, "a WSGI application")
    if arity is not None and not arity.takes(2):
        raise ArgumentTypeError(
            "expected a WSGI application, which takes (environ, start_response), "
            f"got one that takes {arity.most} arguments"
        )
    from ._gunicorn.script.config import request_handler
    from .runtime.servers.http_server import HttpServer

    return HttpServer(partial(request_handler, application))


def __getattr__(name: str) -> object:
    if name == "Server":  # loaded on demand: only script mode needs gevent for this
        from .runtime.servers.http_server import HttpServer

        return HttpServer
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
