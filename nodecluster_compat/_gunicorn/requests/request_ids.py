"""Give the requests of a WSGI application their ids: in ``environ``, in the answer, and for the log.

The C extension has a twin (``native/request_ids.c``), for which new ids are its own; whether a peer may say one, and an
answer whose header is not made of plain pairs, it leaves to the functions here.
"""

from __future__ import annotations

import os
from collections.abc import Callable, Iterable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ...base.native import Choice, Native, in_force
from ...base.request_ids import NewIds, said_id
from ...base.this_request import ASKERS, ID_KEY, REQUEST_ID
from .trusted_peers import is_trusted

if TYPE_CHECKING:
    from ..gunicorn_types import Environ, Headers, Settings

__all__ = ["with_request_ids"]

Application = Callable[..., Iterable[bytes]]
Write = Callable[[bytes], None]

_PARENT_KEY: Final = "HTTP_TRACEPARENT"
_SEED_BYTES: Final = 32


def with_request_ids(
    application: Application, cfg: Settings, header: str | None, choice: Choice | None = None
) -> Application:
    """Return ``application``, whose requests have ids; to be called after the fork.

    Args:
        application: any WSGI callable.
        cfg: gunicorn's settings, which say whom to trust.
        header: has the id, of requests and answers; ``None``: they have none, and the application is what it was.
        choice: C or Python; what is in force unless it is said.
    """
    if header is None:
        return application
    key = f"HTTP_{header.upper().replace('-', '_')}"
    said, start = partial(_said, cfg, key), partial(_start, header)
    native = (in_force() if choice is None else choice).module
    if native is not None:
        return _in_c(native, application, header, key, said, start)
    new_id = NewIds()

    def call(environ: Environ, start_response: Callable[..., Any]) -> Iterable[bytes]:
        found = said(environ) if key in environ or _PARENT_KEY in environ else None
        ident = environ[key] = environ[ID_KEY] = found or new_id()
        REQUEST_ID.set(ident)
        return application(environ, partial(start, ident, start_response))

    return call


def _in_c(
    native: Native,
    application: Application,
    header: str,
    key: str,
    said: Callable[..., str | None],
    start: Callable[..., Write],
) -> Application:
    ids = native.RequestIds(
        application=application,
        header=header,
        key=key,
        parent_key=_PARENT_KEY,
        id_key=ID_KEY,
        variable=REQUEST_ID,
        askers=ASKERS,
        said=said,
        start=start,
        seed=os.urandom(_SEED_BYTES),
    )
    called: Application = ids.call
    return called


def _said(cfg: Settings, key: str, environ: Environ) -> str | None:
    """Return the id that a peer says, who may."""
    peer = environ.get("REMOTE_ADDR")
    if peer and not is_trusted(cfg, (peer,)):
        return None
    return said_id(environ.get(key), environ.get(_PARENT_KEY))


def _start(
    header: str,
    ident: str,
    start_response: Callable[..., Write],
    status: str,
    headers: Headers,
    exc_info: object = None,
) -> Write:
    """In the place of ``start_response``: the answer has the id, unless it says one itself."""
    name = header.lower()
    for one, _ in headers:
        if one.lower() == name:
            break
    else:
        headers = [*headers, (header, ident)]
    return start_response(status, headers, exc_info)
