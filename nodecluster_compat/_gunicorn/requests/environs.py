"""Make the ``environ`` of a clean request: what its connection has in common, and what the request says.

The static part is taken from gunicorn's own ``create``, once for each address that is listened on, and on a unix socket
for each ``Host``: when that has a key that is not known here, gunicorn makes every environ.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from gunicorn.http import wsgi

from .clean_request import CleanRequest
from .responses import CleanResponse

if TYPE_CHECKING:
    from ..gunicorn_types import Create, Created, Environ, Headers, PlainRequest, Settings

__all__ = ["Environs"]

_STATIC: Final = frozenset(
    {
        "wsgi.version",
        "wsgi.multithread",
        "wsgi.multiprocess",
        "wsgi.run_once",
        "wsgi.file_wrapper",
        "wsgi.input_terminated",
        "SERVER_SOFTWARE",
        "SERVER_NAME",
        "SERVER_PORT",
    }
)
_DYNAMIC: Final = frozenset(
    {
        "wsgi.errors",
        "wsgi.input",
        "wsgi.url_scheme",
        "wsgi.early_hints",
        "gunicorn.socket",
        "REQUEST_METHOD",
        "QUERY_STRING",
        "RAW_URI",
        "SERVER_PROTOCOL",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "PATH_INFO",
        "SCRIPT_NAME",
    }
)
_PLACES: Final = dict.fromkeys(
    ("REQUEST_METHOD", "SERVER_PROTOCOL", "RAW_URI", "QUERY_STRING", "PATH_INFO", "wsgi.errors", "wsgi.input")
)
"""What every request sets: a copy that has room for it needs not grow."""

_MOST_TEMPLATES: Final = 256


class Environs:
    """Makes the environs and responses of one process's clean requests.

    Args:
        cfg: gunicorn's settings.
        original: gunicorn's ``create``, for requests that are not clean.
        ours: variables that each environ has beside gunicorn's.

    Attributes:
        hints: makes what a response sends early hints by; ``None``: this gunicorn has none.
        bases: by the address that is listened on, with what all environs of a process have.
        variables: of the process, by their names in bytes; ``None``: they are not known so.
    """

    def __init__(self, cfg: Settings, original: Create, ours: Environ | None = None) -> None:
        self._cfg = cfg
        self._original = original
        self._templates: dict[Any, Environ] = {}
        self.bases: dict[Any, Environ] = {}
        scheme = "https" if cfg.is_ssl else "http"
        self._same: Environ = {**_PLACES, "wsgi.url_scheme": scheme, "SCRIPT_NAME": "", **(ours or {})}
        self.hints = _hints_of if hasattr(wsgi, "_make_early_hints_callback") else None
        self._response = CleanResponse.of(cfg)
        self.variables: Any = getattr(os.environ, "_data", None)  # without decoding what is nearly never there

    def base(self, sock: object, peer: object, server: object) -> Environ | None:
        """Return what the environs of a connection have in common; ``None`` while gunicorn is to make them.

        Args:
            sock: of the connection.
            peer: its address.
            server: the address that is listened on.
        """
        same = self._same if isinstance(server, str) else self.bases.get(server)  # a path is called by each request
        if same is None:
            return None
        base = same.copy()
        base["gunicorn.socket"] = sock
        if isinstance(peer, tuple):
            base["REMOTE_ADDR"], base["REMOTE_PORT"] = peer[0], str(peer[1])
        elif isinstance(peer, str):
            base["REMOTE_ADDR"] = peer
        else:
            return None
        return base

    def complete(
        self, request: CleanRequest, environ: Environ, sock: object, server: object, kind: type[CleanResponse]
    ) -> CleanResponse | None:
        """Complete the environ of a request that was read onto a base; return the response, ``None``: gunicorn is to.

        Args:
            request: that was read.
            environ: as far as the reader has made it.
            sock: of the connection.
            server: the address that is listened on.
            kind: of the response.
        """
        if self.variables is None or b"SCRIPT_NAME" in self.variables:
            return None
        if "SERVER_NAME" not in environ:
            template = self._templates.get(_key(request, environ, server))
            if template is None or "REMOTE_ADDR" not in environ:
                return None
            environ.update(template)
        response = kind(request, sock, environ["REQUEST_METHOD"] == "HEAD")
        environ["wsgi.errors"] = wsgi.WSGIErrorsWrapper(self._cfg)
        environ["wsgi.input"] = request.body
        if self.hints is not None:
            environ["wsgi.early_hints"] = self.hints(response)
        return response

    def create(
        self, req: PlainRequest, sock: object, client: object, server: object, cfg: Settings, *rest: Any, **more: Any
    ) -> Created:
        """Replaces gunicorn's: what was begun with a clean request is gone on with."""
        if not isinstance(req, CleanRequest) or rest or more:
            return self._original(req, sock, client, server, cfg, *rest, **more)
        created: Created | None = req.created
        req.created = None
        if created is None and req.may_be_changed:
            return self._original(req, sock, client, server, cfg)
        if created is None:
            environ = req.environ.copy()
            response = self.complete(req, environ, sock, server, self._response)
            if response is None:
                return self._learn(req, sock, client, server, cfg)
            created = response, environ
        return created

    def _learn(self, req: CleanRequest, sock: object, client: object, server: object, cfg: Settings) -> Created:
        """Take the static part from gunicorn; a key that is not known here keeps the environs gunicorn's."""
        response, environ = self._original(req, sock, client, server, cfg)
        said = {key for key in req.environ if key.startswith(("HTTP_", "CONTENT_"))}
        if environ.keys() <= _STATIC | _DYNAMIC | said and isinstance(server, tuple | str):
            if len(self._templates) >= _MOST_TEMPLATES:
                self._templates.clear()
                self.bases.clear()
            static = {key: environ[key] for key in _STATIC if key in environ}
            static["wsgi.multithread"] = True  # as every gevent worker says
            self._templates[_key(req, req.environ, server)] = static
            if not isinstance(server, str):
                self.bases[server] = self._same | static
        return response, environ


def _hints_of(response: CleanResponse) -> Callable[[Headers], None]:
    """Return a function, as gunicorn's, which is made when it is called; it has one free variable."""

    def send_early_hints(headers: Headers) -> None:
        wsgi._make_early_hints_callback(response.req, response.sock, response)(headers)

    return send_early_hints


def _key(request: CleanRequest, environ: Environ, server: object) -> object:
    """Return what decides about the name and the port of a server, as gunicorn sees it."""
    if isinstance(server, str):
        return server, environ.get("HTTP_HOST"), request.scheme
    return server
