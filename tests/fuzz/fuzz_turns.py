"""Whole connections, served in C and in Python: what the client hears, what is counted, and what is left to gunicorn.

An input is what the application answers, a zero byte, and what the client sends.  Each line of the first part is one
answer, and requests take them in turn: ``HOW|STATUS|NAME:VALUE;NAME:VALUE|PIECE,PIECE``.
"""

from __future__ import annotations

import logging
import operator
import re
from collections.abc import Callable, Iterator
from itertools import cycle
from typing import Any, Final

from fuzz_requests import _GET, _SEEDS, _WORDS, can_compare
from fuzz_targets import Target
from gunicorn import http
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi

from nodecluster_compat._gunicorn.requests import clean_loop
from nodecluster_compat._gunicorn.requests.access_log import AccessLog
from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.environs import Environs
from nodecluster_compat._gunicorn.requests.http_handler import HttpHandler
from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.gevent_runtime.client_gone import client_watch
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit
from nodecluster_compat.operations.metrics.layout import VALUES_AT
from nodecluster_compat.operations.metrics.request_meter import RequestMeter

__all__ = ["TURNS"]

_PEER, _SERVER = ("127.0.0.1", 4711), ("127.0.0.1", 8000)
_DATE: Final = re.compile(rb"Date: [^\r]*")
_OBJECTS: Final = frozenset(
    {"wsgi.input", "gunicorn.socket", "wsgi.errors", "wsgi.early_hints", "wsgi.file_wrapper", "nodecluster.client_gone"}
)
_MOST_ANSWERS: Final = 8


class _Inner:
    """The socket beneath: it is gone, as far as anybody asks."""

    def getsockopt(self, *_: object) -> int:
        raise OSError("no such socket")

    def fileno(self) -> int:
        return -1


class _Client:
    """A client's socket: what it sends comes at once, and what it hears is kept."""

    timeout = None
    _sock = _Inner()

    def __init__(self, data: bytes) -> None:
        self.data, self.heard = data, b""

    def recv(self, size: int, *_: object) -> bytes:
        data, self.data = self.data[:size], self.data[size:]
        return data

    def sendall(self, data: bytes, *_: object) -> None:
        self.heard += bytes(data)

    def send(self, data: bytes, *_: object) -> int:
        self.sendall(data)
        return len(data)

    def shutdown(self, _: int) -> None:
        """Nothing more is sent."""

    def settimeout(self, _: object) -> None:
        """It never waits."""

    def fileno(self) -> int:
        return -1


class _Program:
    """An application that answers as it is told."""

    def __init__(self) -> None:
        self.answers: Iterator[list[str]] = iter(())

    def tell(self, script: bytes) -> None:
        lines = script.decode("latin-1").split("\n")[:_MOST_ANSWERS]
        self.answers = cycle([[*line.split("|"), "", "", "", ""][:4] for line in lines])

    def __call__(self, environ: dict[str, Any], start_response: Any) -> Any:
        how, status, fields, body = next(self.answers)
        if "B" in how:
            body += repr(environ["wsgi.input"].read())
        headers: Any = [tuple(field.split(":")) for field in fields.split(";") if field]
        pieces: list[Any] = [piece.encode("latin-1") for piece in body.split(",")] if body else []
        if "T" in how:
            pieces.append("text")
        if "R" in how:
            raise ValueError("before the head")
        write = start_response(status, headers)
        if "W" in how:
            write(b"written")
        if "S" in how:
            start_response(status, headers)
        if "M" in how:
            headers.clear()
        if "C" in how:
            environ.clear()
        return _iterated(pieces, how) if "G" in how or "E" in how else tuple(pieces) if "U" in how else pieces


def _iterated(pieces: list[Any], how: str) -> Iterator[Any]:
    yield from pieces
    if "E" in how:
        raise ValueError("behind the head")


class _Listener:
    def getsockname(self) -> tuple[str, int]:
        return _SERVER


class _Clock:
    now = 1000.0

    def __call__(self) -> float:
        self.now += 0.25
        return self.now


class _Side:
    """One server."""

    def __init__(self, choice: Choice) -> None:
        self.program = _Program()
        cfg: Any = Config()
        log: Any = Logger(cfg)
        log.error_log.setLevel(logging.CRITICAL)
        kept = wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs
        try:
            waits, access_log = IdleLimit(60), AccessLog(log, None)
            self.handler = HttpHandler(self.program, cfg, log, waits, access_log, 5.0)
        finally:
            wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs = kept
        self.memory = bytearray(VALUES_AT)
        self.handler.metering.meter = RequestMeter(memoryview(self.memory), _Clock(), choice)
        self.environs = Environs(cfg, kept[0], {"nodecluster.slot": "1"})
        self.loop = CleanLoop(self.handler, self.environs, waits, access_log, choice)
        self._learn()

    def _learn(self) -> None:
        """The first request to an address is gunicorn's."""
        self.program.tell(b"L|200 OK||")
        client = _Client(_GET)
        request: Any = next(self.loop.connect(_Listener(), client, _PEER, -1))
        self.environs.create(request, client, _PEER, _SERVER, self.handler.cfg)

    def serve(self, script: bytes, data: bytes, told: Callable[[_Client, Any, bool], Any]) -> Any:
        """Serve a connection, and return what is told of it before it is closed."""
        self.program.tell(script)
        client = _Client(data)
        slot = self.handler.metering.meter.open("127.0.0.1:4711", 1)
        connection = self.loop.connect(_Listener(), client, _PEER, slot)
        result = told(client, connection, connection.serve())
        connection.taken_back()
        client_watch.remove(client)
        self.handler.metering.meter.close(slot)
        return result

    def told(self, client: _Client, connection: Any, goes_on: bool) -> list[Any]:
        """What comes of a connection."""
        left = connection._left
        told = [goes_on, _DATE.sub(b"Date: *", client.heard), self.handler.nr, connection.req_count, _left(left)]
        if goes_on and left is None:
            told.append(connection.unreader.read())
        return told


def _left(left: Any) -> Any:
    """What gunicorn is to go on with."""
    if left is None or isinstance(left, BaseException):
        return repr(left)
    told = [left.line, left.length]
    if left.created is not None:
        response, environ = left.created
        told += [repr(response.raised), response.status, response.headers, response.sent, response.headers_sent]
        told.append(sorted((key, value) for key, value in environ.items() if key not in _OBJECTS))
    return told


class _Sides:
    made: tuple[_Side, _Side] | None = None
    third: _Side | None = None

    @classmethod
    def get(cls) -> tuple[_Side, _Side]:
        if cls.made is None:
            cls.made = _Side(in_force()), _Side(PYTHON)
        return cls.made

    @classmethod
    def alone(cls) -> _Side:
        """Return one more in C: the others have to be told the same."""
        if cls.third is None:
            cls.third = _Side(in_force())
        return cls.third


def _serve_turns(data: bytes) -> None:
    script, _, wire = data.partition(b"\0")
    _Sides.alone().serve(script, wire, lambda *_: None)


def _check_turns(data: bytes) -> None:
    script, _, wire = data.partition(b"\0")
    ours, python = (side.serve(script, wire, side.told) for side in _Sides.get())
    assert ours == python, (data, ours, python)
    assert operator.eq(*(side.memory for side in _Sides.get())), data


_ANSWERS: Final = (
    b"L|200 OK|Content-Type:text/plain;Content-Length:4|bo,dy\nL|404 Not Found|X-A:1|piece",
    b"LB|200 OK|X-A:a b;Server:x|\nG|200 OK||a,,b\nW|200 OK|Content-Length:9|x\nRS|200 OK||",
    b"U|204 No Content|Content-Length:0|x\nT|200 OK||a\nE|500 Oops|Connection:close|a\nS|200 OK|Content-Length: 3|abc",
    b"M|200 OK|A:1;Content-Length:1|ab\nC|200 OK||x\nL|304 Not Modified|E:1|\nL|200|Content-Length:x|y",
)
TURNS: Final[dict[str, Target]] = (
    {}
    if in_force().module is None or not can_compare()
    else {
        "turns": Target(
            _check_turns,
            [answers + b"\0" + wire for answers in _ANSWERS for wire in (*_SEEDS, _GET * 4)],
            [*_WORDS, b"\0", b"|", b";", b",", b"Content-Length:", b"200 OK", b"close", b"Connection: keep-alive\r\n"],
            _serve_turns,
        ),
    }
)
"""None where there is no extension, or no parser in C."""
