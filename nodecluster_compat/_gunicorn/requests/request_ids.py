"""Give the requests of a WSGI application their ids: in ``environ``, in the answer, and for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...base.request_ids import request_id
from ...base.this_request import ID_KEY, REQUEST_ID
from .trusted_peers import is_trusted

if TYPE_CHECKING:
    from ..gunicorn_types import Environ, Headers, Settings

__all__ = ["with_request_ids"]

Application = Callable[..., Iterable[bytes]]


def with_request_ids(application: Application, cfg: Settings, header: str | None) -> Application:
    """Return ``application``, whose requests have ids.

    Args:
        application: any WSGI callable.
        cfg: gunicorn's settings, which say whom to trust.
        header: has the id, of requests and answers; ``None``: they have none, and the application is what it was.
    """
    if header is None:
        return application
    key, name = f"HTTP_{header.upper().replace('-', '_')}", header.lower()

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        peer = environ.get("REMOTE_ADDR")
        trusted = not peer or is_trusted(cfg, (peer,))
        found = request_id(environ.get(key), environ.get("HTTP_TRACEPARENT"), is_trusted=trusted)
        environ[ID_KEY] = environ[key] = found
        REQUEST_ID.set(found)

        def start(status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], None]:
            if not any(one.lower() == name for one, _ in headers):
                headers = [*headers, (header, found)]
            write: Callable[[bytes], None] = start_response(status, headers, exc_info)
            return write

        return application(environ, start)

    return call
