"""Refuse over HTTP/2 what the newest gunicorn refuses there: before 26.2 no rule of HTTP/1 held for a stream.

See :mod:`refusals`.  A refused request ends its connection, as with the newest gunicorn.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, Final

import gunicorn
from gunicorn.http.errors import (
    InvalidHeader,
    InvalidHeaderName,
    InvalidRequestMethod,
    LimitRequestHeaders,
    LimitRequestLine,
)
from gunicorn.http.message import TOKEN_RE

from .refusals import CONTROLS, FORBIDDEN_TRAILERS, refuse_repeats
from .trusted_peers import is_trusted

if TYPE_CHECKING:
    from ..gunicorn_types import Headers, Settings, Stream

__all__ = ["refuse_over_http2", "strict_stream_request"]

_ALL_RULES_SINCE: Final = (27, 0, 0)


def refuse_over_http2(version: tuple[int, ...] = gunicorn.version_info) -> None:
    """Give an older gunicorn's HTTP/2 connections the strict class of requests, if it has such connections."""
    if version >= _ALL_RULES_SINCE:
        return
    try:
        from gunicorn.http2 import connection
    except ImportError:  # 24.1.1, or there is no h2
        return
    connection.HTTP2Request = strict_stream_request(connection.HTTP2Request)


def strict_stream_request(base: type[Any]) -> type[Any]:
    """Return a class of requests that refuses more than ``base``, gunicorn's; the same if it does already."""
    if hasattr(base, "refuses_all"):
        return base

    class StrictStreamRequest(base):  # type: ignore[misc]  # gunicorn has no type hints
        """A request of an HTTP/2 stream, refused as one of HTTP/1 would be."""

        refuses_all = True
        headers: Headers
        trailers: Headers

        def __init__(self, stream: Stream, cfg: Settings, peer_addr: object) -> None:
            fields = [(name.upper(), value) for name, value in stream.get_regular_headers()]
            _refuse_fields(fields, cfg, stream.get_pseudo_headers().get(":path", "/"))
            super().__init__(stream, cfg, peer_addr)
            if not TOKEN_RE.fullmatch(self.method):
                raise InvalidRequestMethod(self.method)
            from_proxy = is_trusted(cfg, peer_addr)
            if not from_proxy:
                self.scheme = "https" if cfg.is_ssl else "http"
            self.headers = _mapped(self.headers, cfg, cfg.forwarder_headers if from_proxy else [])
            self.trailers = [field for field in self.trailers if field[0] not in FORBIDDEN_TRAILERS]

    return StrictStreamRequest


def _refuse_fields(fields: Headers, cfg: Settings, target: str) -> None:
    refuse_repeats(fields, None)
    if cfg.limit_request_line and len(target) > cfg.limit_request_line:
        raise LimitRequestLine(len(target), cfg.limit_request_line)
    if cfg.limit_request_fields and len(fields) > cfg.limit_request_fields:
        raise LimitRequestHeaders("limit request headers fields")
    for name, value in fields:
        if CONTROLS.search(value):
            raise InvalidHeader(name)
        if 0 < cfg.limit_request_field_size < len(name) + len(value) + 2:
            raise LimitRequestHeaders("limit request headers fields size")


def _mapped(fields: Headers, cfg: Settings, forwarded: list[str]) -> Headers:
    """Do with names that have an underscore what ``header_map`` says: ``X_A`` and ``X-A`` have one key in environ."""
    if cfg.header_map == "dangerous" or "*" in forwarded:
        return fields
    kept = [(name, value) for name, value in fields if "_" not in name or name in forwarded]
    if cfg.header_map != "drop" and len(kept) < len(fields):
        raise InvalidHeaderName(next(name for name, _ in fields if "_" in name and name not in forwarded))
    return kept
