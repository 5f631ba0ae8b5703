"""Check and write the heads of answers, as gunicorn's ASGI protocol does; in C where there is the extension.

gunicorn's functions are the reference.  The C extension (``native/answer_heads.c``) has a twin for the fields that
nearly all applications send: pairs of bytes that may be sent.  It leaves anything else to gunicorn, so gunicorn refuses
whatever is refused.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Final

from gunicorn.asgi import protocol

from ....base.native import Choice, in_force

__all__ = ["Scan", "WriteHead", "head_writer", "scan_in_c", "scanner", "write_head"]

Scan = Callable[[Any], tuple[bool, Any, bool]]
"""Checks the fields of an answer: whether there is a ``content-length``, its value, whether there is a
``transfer-encoding``.  Raises what gunicorn's raises where they must not be sent."""

WriteHead = Callable[[int, Any, Any, bool], "bytes | None"]
"""Returns the head of an answer by its status, its fields, the request and whether its connection ends; ``None``: it is
for gunicorn to write."""

_date: Final[Callable[[], bytes]] = protocol._get_cached_date_header
_line: Final[Callable[[Any, int], bytes]] = protocol._get_cached_status_line
_SERVER: Final[bytes] = protocol._CACHED_SERVER_HEADER
_SCAN: Final[Scan] = protocol._scan_response_headers


def scanner(choice: Choice) -> Scan:
    """Return what checks the fields of answers: C or gunicorn."""
    if choice.module is None:
        return _SCAN
    scan = choice.module.scan_fields

    def scan_fields(fields: Any) -> tuple[bool, Any, bool]:  # noqa: ANN401 - of an application
        return scan(fields) or _SCAN(fields)

    return scan_fields


def scan_in_c() -> None:
    """Have gunicorn check fields by C from now on, in this worker."""
    protocol._scan_response_headers = scanner(in_force())


def head_writer(choice: Choice) -> WriteHead:
    """Return what writes heads: C, or nothing."""
    if choice.module is None:
        return lambda *_: None
    write = choice.module.write_head

    def write_head(status: int, fields: Any, request: Any, ends: bool) -> bytes | None:  # noqa: ANN401 - as above
        return write(_line(request.version, status), fields, _SERVER, _date(), ends)

    return write_head


write_head: Final = head_writer(in_force())
"""Of this process."""
