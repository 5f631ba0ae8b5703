"""Make the ``environ`` of a clean request: what its connection has in common, and what the request says.

The static part is taken from gunicorn's own ``create``, once for each address that is listened on: when that has a key
that is not known here, the short way is off.  What a connection adds (its socket, its peer) is made with its first
request.
"""

from __future__ import annotations

import os
from typing import TYPE_CHECKING, Any, Final, Protocol

from gunicorn.http import wsgi

from ..gunicorn_types import PlainRequest
from .responses import CleanResponse

if TYPE_CHECKING:
    from ..gunicorn_types import Create, Created, Environ, Settings

__all__ = ["ShortCreate", "use_short_create"]

_PROTOCOLS: Final = ("HTTP/1.0", "HTTP/1.1")
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
        "CONTENT_TYPE",
        "CONTENT_LENGTH",
        "REMOTE_ADDR",
        "REMOTE_PORT",
        "PATH_INFO",
        "SCRIPT_NAME",
    }
)


class ShortRequest(PlainRequest, Protocol):
    """A request that was read the short way: see :mod:`clean_requests`, which is built on this."""

    header_environ: dict[str, str]
    environ_base: Environ


class ShortCreate:
    """Makes the response and the ``environ`` of a request, as gunicorn's ``create`` does.

    Args:
        cfg: gunicorn's settings.
        original: gunicorn's ``create``, for requests that are not clean.
        clean: the class of those that are.
    """

    def __init__(self, cfg: Settings, original: Create, clean: type[ShortRequest]) -> None:
        self._cfg = cfg
        self._original = original
        self._clean = clean
        self._templates: dict[Any, dict[str, Any]] = {}
        self._hints = getattr(wsgi, "_make_early_hints_callback", None)
        self._variables: Any = getattr(os.environ, "_data", None)  # without decoding what is nearly never there

    def create(
        self,
        req: PlainRequest,
        sock: object,
        client: object,
        server: object,
        cfg: Settings,
        *rest: object,
        **more: object,
    ) -> Created:
        """Return the pair for a request."""
        if not isinstance(req, self._clean) or rest or more or req.proxy_protocol_info:
            return self._original(req, sock, client, server, cfg, *rest, **more)
        if self._variables is None or b"SCRIPT_NAME" in self._variables:
            return self._original(req, sock, client, server, cfg)
        base = req.environ_base
        if not base:
            return self._first(req, sock, client, server, cfg)
        response = CleanResponse(req, sock, cfg)
        path = req.path
        environ = {
            **base,
            **req.header_environ,
            "wsgi.errors": wsgi.WSGIErrorsWrapper(cfg),
            "wsgi.input": req.body,
            "REQUEST_METHOD": req.method,
            "QUERY_STRING": req.query,
            "RAW_URI": req.uri,
            "SERVER_PROTOCOL": _PROTOCOLS[req.version[1]],
            "PATH_INFO": wsgi.util.unquote_to_wsgi_str(path) if "%" in path else path,
        }
        if self._hints is not None:
            environ["wsgi.early_hints"] = self._hints(req, sock, response)
        return response, environ

    def _first(self, req: ShortRequest, sock: object, client: object, server: object, cfg: Settings) -> Created:
        """The first request of a connection."""
        if not isinstance(client, tuple) or not isinstance(server, tuple):
            return self._original(req, sock, client, server, cfg)
        template = self._templates.get(server)
        if template is None:
            return self._learn(req, sock, client, server, cfg)
        req.environ_base.update(
            {
                **template,
                "gunicorn.socket": sock,
                "wsgi.url_scheme": req.scheme,
                "REMOTE_ADDR": client[0],
                "REMOTE_PORT": str(client[1]),
                "SCRIPT_NAME": "",
            }
        )
        return self.create(req, sock, client, server, cfg)

    def _learn(self, req: ShortRequest, sock: object, client: object, server: object, cfg: Settings) -> Created:
        """Take the static part from gunicorn; a key that is not known here keeps the short way off."""
        response, environ = self._original(req, sock, client, server, cfg)
        known = _STATIC | _DYNAMIC | req.header_environ.keys()
        if server not in self._templates and environ.keys() <= known:
            self._templates[server] = {key: environ[key] for key in _STATIC if key in environ}
        return response, environ


def use_short_create(cfg: Settings, clean: type[ShortRequest]) -> None:
    """Let gunicorn make the environs of clean requests here, in this process, for good."""
    wsgi.create = ShortCreate(cfg, wsgi.create, clean).create
