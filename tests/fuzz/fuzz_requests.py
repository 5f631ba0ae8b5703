"""Requests: our short way must read whatever a client sends as gunicorn's own parser does."""

from __future__ import annotations

import logging
from contextlib import suppress
from types import SimpleNamespace
from typing import Any, Final

from fuzz_targets import Target
from gunicorn.config import Config
from gunicorn.http import message, wsgi
from gunicorn.http.parser import RequestParser

from nodecluster_compat._gunicorn.requests.access_log import AccessLog
from nodecluster_compat._gunicorn.requests.clean_connection import CleanConnection
from nodecluster_compat._gunicorn.requests.clean_loop import CleanLoop
from nodecluster_compat._gunicorn.requests.environs import Environs
from nodecluster_compat._gunicorn.requests.metering import Metering
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit
from nodecluster_compat.operations.metrics.request_meter import NO_SLOT

__all__ = ["REQUESTS", "can_compare"]

_PEER, _SERVER = ("127.0.0.1", 4711), ("127.0.0.1", 8000)
_NOT_COMPARED: Final = {"cfg", "unreader", "body", "_use_fast", "_fast_limit_request_line"}
_OBJECTS: Final = frozenset({"wsgi.input", "gunicorn.socket", "wsgi.errors", "wsgi.early_hints"})
_MOST_REQUESTS: Final = 3


def can_compare() -> bool:
    """Whether there is a short way: this gunicorn has the C parser."""
    return bool(getattr(message, "_check_fast_parser", lambda _: False)(Config()))


class _Source:
    """A client's socket, as far as it is read from: what is asked for, of one piece at a time."""

    def __init__(self, *pieces: bytes) -> None:
        self.pieces = [piece for piece in pieces if piece]

    def recv(self, size: int) -> bytes:
        if not self.pieces:
            return b""
        piece = self.pieces.pop(0)
        if piece[size:]:
            self.pieces.insert(0, piece[size:])
        return piece[:size]


class _Client:
    """The connection, as far as reading a request writes to it: ``100 Continue``."""

    def __init__(self) -> None:
        self.heard = b""

    def send(self, data: bytes) -> None:
        self.heard += data


class _Log:
    """A logger that wants to see the requests: they are read here, and served by nobody."""

    def __init__(self, cfg: Config) -> None:
        self.cfg = cfg

    error_log = logging.getLogger("gunicorn.error")

    def access(self, *_: object) -> None:
        """Of a class that somebody has written."""


class _Ways:
    """gunicorn's way and the short one, with the same settings; made at the first input."""

    made: _Ways | None = None

    def __init__(self) -> None:
        self.cfg = Config()
        self.original = wsgi.create
        environs = Environs(self.cfg, self.original)
        self.short = environs.create
        log: Any = _Log(self.cfg)
        worker: Any = SimpleNamespace(cfg=self.cfg, log=log, metering=Metering(), wsgi=None)
        self.loop = CleanLoop(worker, environs, IdleLimit(1), AccessLog(log, None))
        sample = next(RequestParser(self.cfg, [b"GET / HTTP/1.1\r\n\r\n"], _PEER))
        self.names = vars(sample).keys() - _NOT_COMPARED

    def connection(self, data: bytes) -> CleanConnection:
        """What reads the short way."""
        listener: Any = SimpleNamespace(getsockname=lambda: _SERVER)
        return self.loop.connect(listener, _Source(data), _PEER, NO_SLOT)

    @classmethod
    def get(cls) -> _Ways:
        if cls.made is None:
            cls.made = cls()
        return cls.made

    def read(self, short: bool, data: bytes) -> list[Any]:
        """What a connection with these bytes gives: requests one after another, and how it ends."""
        requests = self.connection(data) if short else RequestParser(self.cfg, _Source(data), _PEER)
        told: list[Any] = []
        for _ in range(_MOST_REQUESTS):
            try:
                told.append(self._one(next(requests), self.short if short else self.original))
            except Exception as error:  # noqa: BLE001 - compared
                told.append((type(error), str(error)))
                return told
            if told[-1][1]:
                break
        return [*told, requests.unreader.read()]

    def serve(self, data: bytes) -> None:
        """Read the same the short way, and look at nothing."""
        requests = self.connection(data)
        with suppress(Exception):  # as it ends
            for _ in range(_MOST_REQUESTS):
                request = next(requests)
                _, environ = self.short(request, _Client(), _PEER, _SERVER, self.cfg)
                environ["wsgi.input"].read()
                if request.should_close():
                    break

    def _one(self, request: Any, create: Any) -> Any:
        client = _Client()
        _, environ = create(request, client, _PEER, _SERVER, self.cfg)
        environ["wsgi.multithread"] = True  # as gunicorn's handle_request
        body = environ["wsgi.input"].read()
        attributes = {name: getattr(request, name) for name in self.names}
        told = {name: value for name, value in environ.items() if name not in _OBJECTS}
        return attributes, request.should_close(), told, environ.keys() & _OBJECTS, body, client.heard


def check_requests(data: bytes) -> None:
    """The same requests, environ, bodies, rest and exceptions, either way."""
    ways = _Ways.get()
    ours, theirs = ways.read(True, data), ways.read(False, data)
    assert ours == theirs, (data, ours, theirs)


def _read_requests(data: bytes) -> None:
    _Ways.get().serve(data)


_GET: Final = b"GET /a/b?c=d HTTP/1.1\r\nHost: x\r\nCookie: a=b\r\nX-A: 1\r\n\r\n"
_SEEDS: Final = [
    _GET * 2,
    b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + _GET,
    b"POST /p HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\nContent-Type: text/plain\r\n\r\nabc" + _GET,
    b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n3;x=y\r\nabc\r\n0\r\nT: 1\r\n\r\n" + _GET,
    b"GET http://x/y?z#f HTTP/1.1\r\nHost: y\r\nX-Forwarded-Proto: https\r\nForwarded: for=1\r\n\r\n",
    b"OPTIONS * HTTP/1.1\r\nHost: x\r\nExpect: 100-continue\r\nUpgrade: h2c\r\n\r\n",
]
_WORDS: Final = [
    *(
        b"\r\n",
        b"\n",
        b"\r",
        b"\r\n\r\n",
        b" ",
        b"\t",
        b":",
        b"\0",
        b"\xff",
        b"\xc3\xa9",
        b"%00",
        b"//",
        b"..",
        b"?",
        b"#",
    ),
    *(b"Content-Length: 5\r\n", b"Content-Length: +5\r\n", b"Content-Length: 5, 5\r\n", b"Content_Length: 1\r\n"),
    *(
        b"Transfer-Encoding: chunked\r\n",
        b"Transfer-Encoding: identity\r\n",
        b"Connection: close\r\n",
        b"X-A: 1\r\n 2\r\n",
    ),
    *(
        b"HTTP/1.0",
        b"HTTP/1.1",
        b"HTTP/2.0",
        b"HTTP/1.2",
        b"GET",
        b"get",
        b"CONNECT",
        b"/",
        b"*",
        b"http://",
        b"0\r\n\r\n",
    ),
    *(
        b"Script-Name: /x\r\n",
        b"X_A: 1\r\n",
        b"Host: z\r\n",
        b"X-Forwarded-For: 1\r\n",
        b"Expect: x\r\n",
        b"Upgrade: x\r\n",
    ),
]
_TARGET: Final = Target(check_requests, _SEEDS, _WORDS, _read_requests)
REQUESTS: Final[dict[str, Target]] = {"requests": _TARGET} if can_compare() else {}
