"""Offer Node's ``http``, as far as a cluster needs it: servers of WSGI applications.

    server = http.create_server(app)        # any WSGI callable: Flask, Django, ...
    server.listen(8000)

Requests are handled as by ``gunicorn -k nodecluster_compat.Worker``: the same code, the same settings.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import Any

from ._gunicorn.script.config import request_handler
from .base.arguments import checked_callable
from .base.arity import arity_of
from .errors import ArgumentTypeError
from .runtime.servers.http_server import HttpServer

__all__ = ["Server", "create_server"]

Server = HttpServer


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
    return HttpServer(partial(request_handler, application))
