"""The short way from bytes to ``environ``, for requests about which there is nothing to decide.

Theory of operation
-------------------
A request is *clean* when everything about it that gunicorn would check, merge, drop or translate is absent: an ordinary
target, header names without underscores that occur once, none that sets a scheme or speaks of the body in any other
way than one plain ``Content-Length``.  A clean request is built straight from what gunicorn's own C parser says.  Every
other one, and whatever that parser refuses, is put back and read again by gunicorn, so its answers, errors and order of
checks are gunicorn's by construction: this module can only be slow, not lax.

It is used only where gunicorn itself would use that parser (``http_parser``, no compatibility flag, no PROXY protocol),
and it is the same for every gunicorn that has one.  The static part of ``environ`` is taken from gunicorn's own
``create``: when that has a key that is not known here, the short way is off.
"""

from __future__ import annotations

import os
import re
from collections.abc import Callable
from typing import Any, Final

from gunicorn.http import message, wsgi
from gunicorn.http.body import Body, LengthReader
from gunicorn.http.message import Request
from gunicorn.http.parser import RequestParser

from ..runtime.idle_limit import IdleLimit
from .request_waits import tell_waits
from .serving import OneSendResponse

__all__ = ["CleanRequest", "use_clean_requests"]

_TARGET: Final = re.compile(
    rb"/(?:[A-Za-z0-9._~!$&'()*+,;=:@%-][A-Za-z0-9._~!$&'()*+,;=:@%/-]*)?(?:\?[!$-;=?-Z_a-z~]*)?"
)
_ODD_NAMES: Final = frozenset({"EXPECT", "TRANSFER-ENCODING", "SCRIPT-NAME", "PATH-INFO", "UPGRADE", "HTTP2-SETTINGS"})
_MOST_NAMES: Final = 1024
_VERSIONS: Final = ((1, 0), (1, 1))
_PROTOCOLS: Final = ("HTTP/1.0", "HTTP/1.1")
_FLAGS: Final = (
    "permit_obsolete_folding",
    "strip_header_spaces",
    "permit_unconventional_http_method",
    "permit_unconventional_http_version",
    "casefold_http_method",
)
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


class CleanRequest(Request):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's request, with every attribute that it would have; only the way there is shorter."""

    def __init__(self) -> None:
        # Not gunicorn's, which reads and parses.
        self.header_environ: dict[str, str]

    def should_close(self) -> bool:
        """Extends gunicorn's: the answer is known when nothing was said of the connection."""
        if "HTTP_CONNECTION" in self.header_environ or self.must_close:
            closes: bool = super().should_close()
            return closes
        return self.version is _VERSIONS[0]


def use_clean_requests(cfg: Any, waits: IdleLimit) -> None:
    """Take the short way in this worker, if its settings allow it; ``waits`` is told of every request either way."""
    if not _is_usable(cfg):
        tell_waits(waits)
    else:
        RequestParser.mesg_class = staticmethod(_Reader(cfg, waits).read)
        wsgi.create = _Creator(cfg, wsgi.create).create


def _is_usable(cfg: Any) -> bool:
    uses_c_parser = getattr(message, "_check_fast_parser", None)
    if uses_c_parser is None or any(getattr(cfg, flag, False) for flag in _FLAGS):
        return False
    if getattr(cfg, "proxy_protocol", False) not in (False, "off"):
        return False
    return bool(uses_c_parser(cfg)) and getattr(cfg, "protocol", "http") == "http"


class _Reader:
    """Reads requests from a connection's unreader, as gunicorn's ``Request(...)`` does."""

    def __init__(self, cfg: Any, waits: IdleLimit) -> None:
        self._waits = waits
        self._parse: Callable[..., Any] = message._fast_parser_module.parse_request
        sample = _limits(cfg)
        self._limits = {
            "limit_request_line": sample.pop("_fast_limit_request_line"),
            "limit_request_fields": sample["limit_request_fields"],
            "limit_request_field_size": sample["limit_request_field_size"],
        }
        self._base = {
            **sample,
            "cfg": cfg,
            "must_close": False,
            "_expected_100_continue": False,
            "proxy_protocol_info": None,
            "fragment": "",
            "scheme": "https" if cfg.is_ssl else "http",
        }
        self._odd = _ODD_NAMES.union(cfg.secure_scheme_headers)
        self._names: dict[bytes, tuple[str, str] | None] = {}

    def read(self, cfg: Any, unreader: Any, peer: Any, number: int = 1) -> Any:
        """Return the next request of a connection."""
        if number == 1:
            self._waits.began()
        elif self._waits.is_over:
            raise StopIteration
        data = unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        request = self._clean(data, unreader, peer, number)
        if request is None:
            self._waits.began()
            unreader.unread(data)
            return Request(cfg, unreader, peer, number)
        return request

    def _clean(self, data: bytes, unreader: Any, peer: Any, number: int) -> CleanRequest | None:
        try:
            said = self._parse(data, last_len=0, **self._limits)
        except Exception:  # noqa: BLE001 - whatever it is, gunicorn says it
            return None
        target = said["path"]
        if _TARGET.fullmatch(target) is None or said["method"] == b"CONNECT" or data[0] == 13:
            return None
        fields = self._fields(said["headers"])
        if fields is None:
            return None
        headers, environ = fields
        size = environ.get("CONTENT_LENGTH", "0")
        if not (size.isascii() and size.isdigit()):
            return None
        rest = data[said["consumed"] :]
        if rest:
            unreader.unread(rest)
        request = CleanRequest.__new__(CleanRequest)
        uri = target.decode("ascii")
        path, _, query = uri.partition("?")
        request.__dict__.update(self._base)
        request.__dict__.update(
            unreader=unreader,
            peer_addr=peer,
            remote_addr=peer,
            req_number=number,
            method=said["method"].decode("ascii"),
            uri=uri,
            path=path,
            query=query,
            version=_VERSIONS[said["minor_version"]],
            headers=headers,
            header_environ=environ,
            trailers=[],
            body=Body(LengthReader(unreader, int(size))),
        )
        return request

    def _fields(self, said: Any) -> tuple[list[tuple[str, str]], dict[str, str]] | None:
        headers: list[tuple[str, str]] = []
        environ: dict[str, str] = {}
        names = self._names
        for raw_name, raw_value in said:
            known = names.get(raw_name)
            if known is None:
                known = self._learn(raw_name)
                if known is None:
                    return None
            name, key = known
            if key in environ:
                return None
            value = raw_value.decode("latin-1")
            headers.append((name, value))
            environ[key] = value
        return headers, environ

    def _learn(self, raw_name: bytes) -> tuple[str, str] | None:
        name = bytes(raw_name).decode("latin-1").upper()
        if "_" in name or name in self._odd:
            return None
        key = name.replace("-", "_")
        if name not in ("CONTENT-TYPE", "CONTENT-LENGTH"):
            key = f"HTTP_{key}"
        if len(self._names) < _MOST_NAMES:
            self._names[bytes(raw_name)] = (name, key)
        return name, key


class _Creator:
    """Makes the response and the ``environ`` of a request, as gunicorn's ``create`` does."""

    def __init__(self, cfg: Any, original: Callable[..., Any]) -> None:
        self._cfg = cfg
        self._original = original
        self._templates: dict[Any, dict[str, Any] | None] = {}
        self._hints = getattr(wsgi, "_make_early_hints_callback", None)
        self._variables: Any = getattr(os.environ, "_data", None)  # without decoding what is nearly never there

    def create(self, req: Any, sock: Any, client: Any, server: Any, cfg: Any, *rest: Any, **more: Any) -> Any:
        """Return the pair for a request."""
        if type(req) is not CleanRequest or rest or more or req.proxy_protocol_info or not isinstance(client, tuple):
            return self._original(req, sock, client, server, cfg, *rest, **more)
        if not isinstance(server, tuple) or self._variables is None or b"SCRIPT_NAME" in self._variables:
            return self._original(req, sock, client, server, cfg)
        template = self._templates.get(server)
        if template is None:
            return self._first(req, sock, client, server, cfg)
        response = OneSendResponse(req, sock, cfg)
        path = req.path
        environ = {
            **template,
            **req.header_environ,
            "wsgi.errors": wsgi.WSGIErrorsWrapper(cfg),
            "wsgi.input": req.body,
            "gunicorn.socket": sock,
            "REQUEST_METHOD": req.method,
            "QUERY_STRING": req.query,
            "RAW_URI": req.uri,
            "SERVER_PROTOCOL": _PROTOCOLS[req.version[1]],
            "wsgi.url_scheme": req.scheme,
            "REMOTE_ADDR": client[0],
            "REMOTE_PORT": str(client[1]),
            "PATH_INFO": wsgi.util.unquote_to_wsgi_str(path) if "%" in path else path,
            "SCRIPT_NAME": "",
        }
        if self._hints is not None:
            environ["wsgi.early_hints"] = self._hints(req, sock, response)
        return response, environ

    def _first(self, req: Any, sock: Any, client: Any, server: Any, cfg: Any) -> Any:
        """Learn the static part from gunicorn; a key that is not known here keeps the short way off."""
        response, environ = self._original(req, sock, client, server, cfg)
        known = _STATIC | _DYNAMIC | req.header_environ.keys()
        if server not in self._templates and environ.keys() <= known:
            self._templates[server] = {key: environ[key] for key in _STATIC if key in environ}
        return response, environ


def _limits(cfg: Any) -> dict[str, Any]:
    """What gunicorn makes of the limits, read off a request of its own."""
    from gunicorn.http.unreader import IterUnreader

    sample = Request(cfg, IterUnreader([b"GET / HTTP/1.1\r\n\r\n"]), ("127.0.0.1", 1))
    names = ("limit_request_line", "limit_request_fields", "limit_request_field_size", "max_buffer_headers")
    limits = {name: getattr(sample, name) for name in names}
    limits["_fast_limit_request_line"] = getattr(sample, "_fast_limit_request_line", sample.limit_request_line)
    return limits
