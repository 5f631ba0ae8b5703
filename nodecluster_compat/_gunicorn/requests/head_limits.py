"""Find out what gunicorn makes of the limits of a request's head, once for all workers that have the same settings."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING, Any

from gunicorn.http.message import Request
from gunicorn.http.unreader import IterUnreader

from .ways import is_read_here

if TYPE_CHECKING:
    from ..gunicorn_types import Settings

__all__ = ["limits_of", "prepare_limits"]

_known: dict[tuple[int, int, int], dict[str, Any]] = {}


def limits_of(cfg: Settings) -> dict[str, Any]:
    """Return the limits, by the names that they have on a request of gunicorn's."""
    settings = (cfg.limit_request_line, cfg.limit_request_fields, cfg.limit_request_field_size)
    if settings not in _known:
        _known[settings] = _sampled(cfg)
    return dict(_known[settings])


def prepare_limits(cfg: Settings) -> None:
    """In the primary, before the first fork: find out what every worker would that has these settings."""
    with suppress(RuntimeError):  # gunicorn's, about ``http_parser``: the worker will raise it
        if is_read_here(cfg):
            limits_of(cfg)


def _sampled(cfg: Settings) -> dict[str, Any]:
    """Read them off a request of gunicorn's own."""
    sample = Request(cfg, IterUnreader([b"GET / HTTP/1.1\r\n\r\n"]), ("127.0.0.1", 1))
    names = ("limit_request_line", "limit_request_fields", "limit_request_field_size", "max_buffer_headers")
    limits = {name: getattr(sample, name) for name in names}
    limits["_fast_limit_request_line"] = getattr(sample, "_fast_limit_request_line", sample.limit_request_line)
    return limits
