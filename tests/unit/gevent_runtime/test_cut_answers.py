"""Answers that do not go out whole: logged, counted and ended as by gunicorn's gevent worker."""

from __future__ import annotations

import logging
import socket
import sys
from collections.abc import Callable, Iterable, Iterator
from functools import partial
from typing import Any, Final

import gevent
import pytest
from gevent.event import Event
from gunicorn import http
from gunicorn.glogging import Logger
from gunicorn.http import wsgi
from gunicorn.workers.ggevent import GeventWorker
from in_process import ADDRESS, LAST, PEER, HttpServed, configured, quiet_gunicorn

from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket

CREATE, PARSER = wsgi.create, http.RequestParser
ASK: Final = b"GET /%b HTTP/1.1\r\nHost: example.test\r\n\r\n"
LARGE: Final = 3_000_000
GAVE_UP: Final = Event()


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        logging.getLogger("gunicorn.error").setLevel(logging.CRITICAL)
        yield


def app(environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    """Answers of which a socket does not take all."""
    path = environ["PATH_INFO"]
    if path == "/list":
        start_response("200 OK", [("Content-Length", str(LARGE))])
        return [b"x" * LARGE]
    if path == "/chunks":
        start_response("200 OK", [])
        return iter([b"x" * LARGE, b"y"])
    if path in ("/write", "/small"):
        environ["gunicorn.socket"].settimeout(0.05)
        size = LARGE if path == "/write" else 50_000
        try:
            write = start_response("200 OK", [("Content-Length", str(size * 50))])
            for _ in range(50):
                write(b"x" * size)
        except OSError:
            GAVE_UP.set()
            start_response("500 Oops", [("Content-Type", "text/plain")], sys.exc_info())
            return [b"sorry"]
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]


class Stock(GeventWorker):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's gevent worker, as far as it serves a connection."""

    def __init__(self, cfg: Any, log: Any) -> None:
        self.cfg, self.log, self.wsgi = cfg, log, app
        self.alive, self.nr, self.max_requests, self.worker_connections = True, 0, sys.maxsize, 100


class Address:
    """A listening socket, as far as gunicorn's worker asks it."""

    def getsockname(self) -> tuple[str, int]:
        return ADDRESS


def noting(told: list[tuple[bool, int]]) -> Callable[..., None]:
    def post_request(_: object, __: object, ___: object, response: Any) -> None:
        told.append((response.headers_sent, response.sent))

    return post_request


def served_by_stock(told: list[tuple[bool, int]]) -> Callable[[socket.socket], gevent.Greenlet]:
    cfg: Any = configured(post_request=noting(told))
    worker = Stock(cfg, Logger(cfg))
    wsgi.create, http.RequestParser = CREATE, PARSER  # until a server of ours is made

    def begin(sock: socket.socket) -> gevent.Greenlet:
        theirs = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.detach())
        return gevent.spawn(worker.handle, Address(), theirs, PEER)

    return begin


def served_here(told: list[tuple[bool, int]], *, has_hook: bool) -> Callable[[socket.socket], gevent.Greenlet]:
    changes = {"post_request": noting(told)} if has_hook else {}
    server = HttpServed(app, has_loop=True, **changes)
    server.ask(LAST, LAST)

    def begin(sock: socket.socket) -> gevent.Greenlet:
        theirs = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, sock.detach())
        return gevent.spawn(server.handler.serve, ServedAddress(0, socket.AF_INET, ADDRESS), theirs, PEER)

    return begin


def client_of(begin: Callable[[socket.socket], gevent.Greenlet], path: bytes) -> tuple[Any, gevent.Greenlet]:
    near, far = socket.socketpair()
    client = gevent.socket.socket(socket.AF_UNIX, socket.SOCK_STREAM, 0, far.detach())
    client.sendall(ASK % path)
    return client, begin(near)


def leaves(begin: Callable[[socket.socket], gevent.Greenlet], path: bytes) -> None:
    """A client that reads a little, and leaves."""
    client, serving = client_of(begin, path)
    with client:
        assert client.recv(1000)
    serving.get(timeout=20)


def does_not_read(begin: Callable[[socket.socket], gevent.Greenlet], path: bytes) -> bytes:
    """A client that reads when the application has given up."""
    GAVE_UP.clear()
    client, serving = client_of(begin, path)
    with client, gevent.Timeout(20):
        GAVE_UP.wait()
        said = b""
        while data := client.recv(1 << 20):
            said += data
    serving.get(timeout=20)
    return said.partition(b"\r\n\r\n")[2]


@pytest.mark.parametrize("path", [b"list", b"chunks"])
def test_client_that_leaves_amid_its_answer_is_told_to_the_hook_as_by_gunicorn(path: bytes) -> None:
    """What was handed to the kernel counts, as in gunicorn."""
    stocks: list[tuple[bool, int]] = []
    ours: list[tuple[bool, int]] = []
    leaves(served_by_stock(stocks), path)
    begin = served_here(ours, has_hook=True)
    ours.clear()
    leaves(begin, path)
    assert ours == stocks == [(True, LARGE)]


@pytest.mark.parametrize("has_hook", [False, True])
@pytest.mark.parametrize("path", [b"write", b"small"])
def test_answer_that_has_begun_is_followed_by_no_other(path: bytes, has_hook: bool) -> None:
    """Whoever catches the error of ``write`` cannot say something else amid the body."""
    told: list[tuple[bool, int]] = []
    for serve in (served_by_stock, partial(served_here, has_hook=has_hook)):
        said = does_not_read(serve(told), path)
        assert said
        assert set(said) == set(b"x")
