"""The compiled twins, told what the Python ones are told: both leave the same."""

from __future__ import annotations

import ctypes
import operator
import sys
from collections.abc import Iterator
from contextvars import copy_context
from functools import cache
from importlib import import_module
from pathlib import Path
from typing import Any, Final

from fuzz_targets import Target
from gunicorn.config import Config

from nodecluster_compat._gunicorn.requests.clean_head import taker
from nodecluster_compat._gunicorn.requests.request_ids import with_request_ids
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.operations.metrics.layout import VALUES_AT
from nodecluster_compat.operations.metrics.request_meter import RequestMeter

__all__ = ["NATIVE"]

_CFG: Final = Config()
_DEALT: Final = 40  # bytes of an input in C alone
_MOST_HEARD: Final = 600  # likewise, and in Python
_MOST_SENT: Final = 120
_METHODS: Final = ("GET", "POST", "BREW", "", "\xff")
_STATUSES: Final[tuple[Any, ...]] = (None, "200 OK", 404, [], "99", "", 10**30, -1, b"200")


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        return self.now


def _requests(data: bytes) -> Iterator[tuple[int, bytes, float, str, Any, int]]:
    """Cut an input into requests: a byte each for slot, method, status, seconds and bytes sent, then a line."""
    for piece in data.split(b"\n"):
        slot, method, status, seconds, sent = (*piece[:5], 0, 0, 0, 0, 0)[:5]
        known = _STATUSES[status] if status < len(_STATUSES) else status * 3
        yield slot % 5 - 1, piece[5:], seconds / 16, _METHODS[method % len(_METHODS)], known, sent << (sent % 33)


def _told(data: bytes, choice: Choice) -> tuple[bytes, list[float]]:
    clock, memory = _Clock(), bytearray(VALUES_AT)
    meter = RequestMeter(memoryview(memory), clock, choice)
    began = []
    for slot, line, seconds, method, status, sent in _requests(data):
        began.append(meter.begin(slot, line))
        clock.now += seconds
        meter.end(slot, began[-1], method, status, sent)
    return bytes(memory), began


def _check_stores(data: bytes) -> None:
    assert _told(data, in_force()) == _told(data, PYTHON)


_SEEDS: Final = (
    b"\1\0\1\0\7GET / HTTP/1.1\r",
    b"\0\1\2\1\0POST /orders HTTP/1.1\r\n\2\2\0\xff\xff\n\3\3\3\3\3",
    b"".join(bytes([0, 0, status, 0, 1, 10]) for status in range(9, 200)),
)

_KEYS: Final = {b"Host": "HTTP_HOST", b"host": "HTTP_HOST", b"X-A": "HTTP_X_A", b"": "HTTP_"}
_HEADS: Final = (
    b"GET /a%20b?c HTTP/1.1\nHost:x\nX-A:1\nNew:2",
    b"POST /?\nhost:\nHost:\xff",
    b"\n:\nX-A:1\n",
)


_TAKERS: Final = taker(in_force()), taker(PYTHON)


def _head(take: Any, line: bytes, fields: tuple[tuple[bytes, bytes], ...]) -> tuple[list[Any], list[tuple[str, Any]]]:
    environ: dict[str, Any] = {"SCRIPT_NAME": ""}
    method, _, target = line.partition(b" ")
    said: list[Any] = [take.line(environ, method, target, len(fields) % 2)]
    at = 0
    while 0 <= at < len(fields):
        said.append(at := take.fields(environ, _KEYS, fields, at))
        at += at >= 0
    return said, list(environ.items())


def _check_heads(data: bytes) -> None:
    """Take an input for a head: lines of names and values behind a first line."""
    line, *rest = data.split(b"\n")
    fields = tuple([one.partition(b":")[::2] for one in rest])
    native, python = _TAKERS
    assert _head(native, line, fields) == _head(python, line, fields)


_ANSWERS: Final = (
    b"Content-Type:text/plain\nX-Request-ID:a\nB:c",
    b"x-request-id\n:\n\xc4\xb0:\xe2\x84\xaa",
    b"X-Request-I\nX-Request-IDs:",
)


def _said(data: bytes, choice: Choice) -> list[Any]:
    """Answer with the fields of an input; the id is the same on both sides when it is told by its place."""
    told: list[Any] = []
    fields = [tuple(line.split(":", 2)) for line in data.decode("utf-8", "surrogateescape").split("\n")]

    def application(environ: dict[str, Any], start_response: Any) -> list[bytes]:
        ident = environ["HTTP_X_REQUEST_ID"]
        try:
            start_response("200 OK", fields, *([None] * (len(data) % 2)))
        except (TypeError, ValueError) as error:
            told.append(type(error))
        told[:] = [
            [[part == ident or part for part in field] for field in one] if isinstance(one, list) else one
            for one in told
        ]
        return []

    environ = {"REMOTE_ADDR": "127.0.0.1", "HTTP_X_REQUEST_ID": data[:8].decode("latin-1")}
    call = with_request_ids(application, _CFG, "X-Request-ID", choice)
    copy_context().run(call, environ, lambda status, headers, exc_info: told.extend([status, headers, exc_info]))
    return told


def _check_answers(data: bytes) -> None:
    assert _said(data, in_force()) == _said(data, PYTHON)


@cache
def _support(name: str) -> Any:
    support = str(Path(__file__).parents[1] / "support")
    if support not in sys.path:
        sys.path.append(support)
    return import_module(name)


def _check_deals(data: bytes) -> None:
    dealt = _support("dealt_twice").dealt
    ours, python = dealt(data[:100], in_force()), dealt(data[:100], PYTHON)
    for number, pair in enumerate(zip(ours, python, strict=True)):
        assert operator.eq(*pair), (data, number, *pair)


def _deal(data: bytes) -> None:
    _support("kept_dealers").deal(data[:_DEALT])  # the cost is by the deed, and long ones find no more


_DEALS: Final = (
    b"\x00\x01\x01\x02\x03\x04\x1b\x02",
    b"\x80\x01\x1a\x02\x1b\x1c\x05\x06\x02",
    b"\x00\x01\x0d\x02\x02\x27\x12\x01\x02\x07\x02",
    b"\x00\x0f\x01\x2e\x02\x46\x1b\x02\x1b\x2f\x02",
    b"\x01\x01\x01\x02\x1b\x02\x01\x1b\x0b\x02\x1b",
    b"\x00\x17\x30\x02\x1b\x49\x02\x1b\x17",
    b"\x02\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
    b"\x04\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
    b"\x06\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
    b"\x48\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
    b"\x4a\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
    b"\x0c\x00\x00\x01\x02\x02\x18\x00\x1b\x31\x01\x49\x02\x1b\x18\x13\x00\x00",
)


def _check_heard(data: bytes) -> None:
    twice = _support("messages_twice")
    assert twice.heard(data[:_MOST_HEARD], in_force()) == twice.heard(data[:_MOST_HEARD], PYTHON)


def _hear(data: bytes) -> None:
    _support("messages_twice").heard(data[:_MOST_HEARD], in_force())


def _send(data: bytes) -> None:
    _support("messages_twice").sent(data[:_MOST_SENT], in_force(), reads=False)


def _check_sent(data: bytes) -> None:
    twice, limit = _support("messages_twice"), _limit()
    data = data[:_MOST_SENT]
    assert twice.sent(data, in_force(), limit=limit) == twice.sent(data, PYTHON, limit=limit)


@cache
def _limit() -> Any:
    """Return what ``coverage.c`` limits a socket by; None where that is not loaded."""
    try:
        limit = ctypes.CDLL(None).limit_unread
    except AttributeError:
        return None
    limit.argtypes, limit.restype = (ctypes.c_int, ctypes.c_int, ctypes.c_size_t), None
    return limit


_HEARD: Final = (
    b"\x42\3abc\x41\1?\x43\5large\x40\3\0\0\0\x40\3\3\1a",
    b"\x71\7handles\x42\1p\x81\3abc\x41\1!",
    b"\x40\7\0\0\0\0\x63ab\x40\5\xff\xff\xff\xff\1",
)
_SENT: Final = (
    b"\x21\3abc\x61\x10xxxxxxxxxxxxxxxx\x22\3abc\4\0\5\0\6\5aaaaa\x20\1a",
    b"\7\0\x21\3abc\x08\0\x2a\0\x80\1a\x2b\0\x29\0",
)


NATIVE: Final[dict[str, Target]] = (
    {}
    if in_force().module is None
    else {
        "stores": Target(_check_stores, _SEEDS, (b"\n", b"\0\0\1\0\0")),
        "ids": Target(_check_answers, _ANSWERS, (b"\n", b":", b"X-Request-ID:", b"\nx-request-id:")),
        "heads": Target(_check_heads, _HEADS, (b"\n", b":", b"?", b"%", b"\nHost:", b"\nX-A:")),
        "heard": Target(_check_heard, _HEARD, (b"\x41\3abc", b"\x42\1x", b"\x40\2"), _hear, _MOST_HEARD),
        "sent": Target(
            _check_sent, _SENT, (b"\x21\3abc", b"\x22\1x", b"\4\0", b"\5\0", b"\6\4aaaa"), _send, _MOST_SENT
        ),
        "deals": Target(
            _check_deals, _DEALS, (b"\x01\x01", b"\x02", b"\x1a", b"\x04", b"\x0f\x2d", b"\x17"), _deal, _DEALT
        ),
    }
)
"""None where there is no extension."""
