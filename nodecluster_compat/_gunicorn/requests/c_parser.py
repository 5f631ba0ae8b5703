"""Find out whether the installed parser in C refuses what it has to; gunicorn's own in Python reads requests otherwise.

gunicorn takes any ``gunicorn_h1c`` that it finds, and its releases differ: up to 0.6.9 a bare LF ended a line of the
head (RFC 9112 §2.2), which a server in front may have passed on as a part of a field.
"""

from __future__ import annotations

from collections.abc import Callable
from functools import cache
from typing import Final

__all__ = ["PROBES", "has_lax_parser", "has_quick_parser", "is_strict"]

_LINE: Final = b"GET / HTTP/1.1\r\n"

PROBES: Final = (
    b"GET / HTTP/1.1\nHost: x\r\n\r\n",
    b"\nGET / HTTP/1.1\r\nHost: x\r\n\r\n",
    _LINE + b"Host: x\nX-A: 1\r\n\r\n",
    _LINE + b"Host: x\r\nX-A: 1 \n\r\n",
    _LINE + b"Host: x\r\n\n",
    *(_LINE + b"Host: x\r\nX-A: 1%b2\r\n\r\n" % bytes([control]) for control in (0, 1, 11, 12, 13, 28, 127)),
    _LINE + b"Host: x\r\nX-A : 1\r\n\r\n",
    _LINE + b"Host: x\r\nX-A: 1\r\n 2\r\n\r\n",
)
"""Whole requests, each with one fault."""

_BOUNDS: Final = {"limit_request_line": 4094, "limit_request_fields": 100, "limit_request_field_size": 8190}


def is_strict(parse: Callable[..., object]) -> bool:
    """Return whether a function such as ``gunicorn_h1c.parse_request`` refuses every one of :data:`PROBES`."""
    return not any(_takes(parse, probe) for probe in PROBES)


@cache
def has_lax_parser() -> bool:
    """Whether a ``gunicorn_h1c`` is installed that takes one of :data:`PROBES`."""
    try:
        import gunicorn_h1c
    except ImportError:
        return False
    return not is_strict(gunicorn_h1c.parse_request)


@cache
def has_quick_parser() -> bool:
    """Whether the one in C that makes no dictionary is there, and refuses what the other refuses."""
    try:
        from gunicorn_h1c import parse_request_fast
    except ImportError:
        return False
    return is_strict(parse_request_fast)


def _takes(parse: Callable[..., object], probe: bytes) -> bool:
    try:
        parse(probe, last_len=0, **_BOUNDS)
    except TypeError:
        return True  # older than its limits, which gunicorn does not use either
    except Exception:  # noqa: BLE001 - refused, in whatever words
        return False
    return True
