"""HTTP served within the test: with the loop of clean requests, or without it, as gunicorn's gevent worker does."""

from __future__ import annotations

import logging
import os
import socket
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import gevent
from gevent import select
from gunicorn import http
from gunicorn.config import Config
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from raw_http import normalised

from nodecluster_compat._gunicorn.requests import clean_loop
from nodecluster_compat._gunicorn.requests.access_log import use_access_log
from nodecluster_compat._gunicorn.requests.clean_request import CleanRequest
from nodecluster_compat._gunicorn.requests.http_handler import HttpHandler
from nodecluster_compat._gunicorn.requests.http_worker import HttpWorker
from nodecluster_compat._gunicorn.requests.ways import Way
from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.gevent_runtime.idle_limit import IdleLimit

__all__ = ["ADDRESS", "LAST", "PATIENCE", "PEER", "HttpServed", "configured", "quiet_gunicorn"]

ADDRESS: Final = ("127.0.0.1", 8000)
PEER: Final = ("127.0.0.1", 4711)
LAST: Final = b"GET /last HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n"
PATIENCE: Final = 20.0
_DEFAULTS: Final = {"loglevel": "warning", "keepalive": 20}


class ServerWorker(HttpHandler):
    """As in server mode: ``sys.exit()`` ends the request, not the process."""

    serve_request = HttpWorker.serve_request
    handle_error = HttpWorker.handle_error


def configured(**changes: Any) -> Config:
    """gunicorn's settings."""
    cfg = Config()
    for name, value in {**_DEFAULTS, **changes}.items():
        cfg.set(name, value)
    return cfg


@contextmanager
def quiet_gunicorn() -> Iterator[None]:
    """What serving replaces in gunicorn, and its loggers, are as before afterwards."""
    kept = wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs
    loggers = [logging.getLogger(name) for name in ("gunicorn.error", "gunicorn.access")]
    states = [(one.handlers[:], one.propagate, one.level, one.filters[:]) for one in loggers]
    clean_loop._ThisProcess.environs = None
    try:
        yield
    finally:
        wsgi.create, http.RequestParser, clean_loop._ThisProcess.environs = kept
        for one, (handlers, propagate, level, filters) in zip(loggers, states, strict=True):
            one.handlers, one.propagate, one.filters = handlers, propagate, filters
            one.setLevel(level)


class HttpServed:
    """One server's connections, each made by the test.

    Args:
        app: the WSGI application.
        has_loop: whether clean requests are served in the loop.
        changes: of gunicorn's settings.
    """

    def __init__(
        self,
        app: Callable[..., Any],
        has_loop: bool,
        kind: type[HttpHandler] = ServerWorker,
        address: tuple[str, int] | str = ADDRESS,
        peer: tuple[str, int] | str = PEER,
        **changes: Any,
    ) -> None:
        self.cfg: Any = configured(**changes)
        self.log: Any = Logger(self.cfg)
        self.access_log = use_access_log(self.log, gevent.get_hub().loop.run_callback)
        self.handler = kind(app, self.cfg, self.log, IdleLimit(self.cfg.keepalive), self.access_log, 5.0)
        if not has_loop:
            self.handler.clean_loop = None
        self.served_by_gunicorn: list[Way] = []
        self._address, self._peer = address, peer
        self._create = wsgi.create

    def _count(self, request: Any, *rest: Any, **more: Any) -> Any:
        is_clean = isinstance(request, CleanRequest)
        self.served_by_gunicorn.append(Way.REQUEST if is_clean else Way.GUNICORN)
        return self._create(request, *rest, **more)

    def ask(self, *parts: bytes, ends: bool = True) -> bytes:
        """Send parts on one connection, each when the server has read the one before.

        Args:
            parts: of what the client sends.
            ends: whether it says that nothing more comes.

        Returns:
            All that comes back until the server closes.
        """
        ours, theirs = socket.socketpair()
        server = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
        fd = server._sock.fileno()
        wsgi.create = self._count
        serving = gevent.spawn(self.handler.serve, ServedAddress(0, socket.AF_INET, self._address), server, self._peer)
        theirs.setblocking(False)
        heard: list[bytes] = []
        try:
            with gevent.Timeout(PATIENCE):
                for part in parts:
                    _send(theirs, fd, part, heard)
                if ends:
                    with suppress(OSError):
                        theirs.shutdown(socket.SHUT_WR)
                while _hear(theirs, heard):
                    select.select([theirs], [], [])
        finally:
            theirs.close()
            serving.join(PATIENCE)
            wsgi.create = self._create
        return normalised(b"".join(heard))


def _send(client: socket.socket, fd: int, part: bytes, heard: list[bytes]) -> None:
    """Send all, and let the server run until it has read it, or has closed."""
    while part:
        try:
            part = part[client.send(part) :]
        except BlockingIOError:
            _let_others_run()
        except OSError:
            return
    while _unread(fd) and _hear(client, heard):
        _let_others_run()
    gevent.sleep(0)


def _let_others_run() -> None:
    """For one turn of the loop; ``sleep(0)`` alone lets it look at no descriptor for five milliseconds."""
    gevent.idle()


def _hear(client: socket.socket, heard: list[bytes]) -> bool:
    """Take what has come; return whether more can come."""
    try:
        data = client.recv(1 << 20)
    except BlockingIOError:
        return True
    except ConnectionResetError:
        return False
    heard.append(data)
    return bool(data)


def _unread(fd: int) -> bool:
    """Whether the server has not read all that was sent to it; what is closed has."""
    try:
        probe = socket.socket(fileno=os.dup(fd))
    except OSError:
        return False
    with probe:
        try:
            return bool(probe.recv(1, socket.MSG_PEEK | socket.MSG_DONTWAIT))
        except OSError:
            return False
