"""Give the requests of a WSGI application their ids: in ``environ``, in the answer, and for the log."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Any

from ...base.request_ids import NewIds, said_id
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
    key, name, new_id = f"HTTP_{header.upper().replace('-', '_')}", header.lower(), NewIds()

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = None
        given, parent = environ.get(key), environ.get("HTTP_TRACEPARENT")
        if (given is not None or parent is not None) and _is_trusted(environ, cfg):
            found = said_id(given, parent)
        ident = environ[ID_KEY] = environ[key] = found or new_id()
        REQUEST_ID.set(ident)

        def start(status: str, headers: Headers, exc_info: object = None) -> Callable[[bytes], None]:
            for one, _ in headers:
                if one.lower() == name:
                    break
            else:
                headers = [*headers, (header, ident)]
            write: Callable[[bytes], None] = start_response(status, headers, exc_info)
            return write

        return application(environ, start)

    return call


def _is_trusted(environ: Environ, cfg: Settings) -> bool:
    peer = environ.get("REMOTE_ADDR")
    return not peer or is_trusted(cfg, (peer,))
