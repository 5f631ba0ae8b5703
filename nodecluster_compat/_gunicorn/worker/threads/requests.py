"""Answer requests on threads: as ``gthread`` does, with one ``send``, and with what a drain says to clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from threading import get_ident
from types import MethodType
from typing import Any

from gunicorn import http
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response

from ....base.this_request import LIMIT_KEY, limit_request
from ....machine.forked_child import end_if_child
from ...requests.http2_refusals import refuse_over_http2
from ...requests.metering import MeteredServer
from ...requests.refusals import strict_request
from .late import ThreadResponse

__all__ = ["answered", "read_strictly"]


def answered(
    application: Callable[..., Iterable[bytes]], server: MeteredServer, requests: dict[int, str]
) -> Callable[..., Iterable[bytes]]:
    """Return ``application``, answered through :class:`ThreadResponse` on behalf of ``server``.

    Args:
        application: any WSGI callable.
        server: once it ``ends_connections``, answers are the last ones of theirs.
        requests: has what each thread answers, while it does.
    """

    def call(environ: dict[str, Any], start_response: MethodType) -> Iterable[bytes]:
        response: Any = start_response.__self__
        if type(response) is Response:
            response.__class__ = ThreadResponse
        response.server = server
        ident, noted = get_ident(), server.metering.responses
        if ident in noted:
            noted[ident] = response
        environ[LIMIT_KEY] = limit_request
        requests[ident] = f"{environ['REQUEST_METHOD']} {environ.get('RAW_URI', '')}"
        try:
            body = application(environ, start_response)
        except BaseException as error:
            end_if_child(error)
            raise
        end_if_child()
        return body

    return call


class _StrictParser(RequestParser):  # type: ignore[misc]  # gunicorn has no type hints
    """The requests of one connection, one after another."""

    mesg_class = strict_request()


def read_strictly() -> None:
    """Refuse, in this process, what the newest gunicorn refuses and an older one takes."""
    refuse_over_http2()
    http.RequestParser = _StrictParser
