"""The connections of a server of a script: which request is the last one, with a clock that the test holds."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

import gevent
import pytest
from in_process import ADDRESS, PEER, HttpServed, quiet_gunicorn

from nodecluster_compat._gunicorn.requests.http_handler import HttpHandler
from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.gevent_runtime import idle_limit
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket

KEEPALIVE: Final = 100
REQUEST: Final = b"GET / HTTP/1.1\r\nHost: example.test\r\n\r\n"
PATIENCE: Final = 20.0


@pytest.fixture(autouse=True)
def _quiet() -> Iterator[None]:
    with quiet_gunicorn():
        yield


def hello(_environ: dict[str, Any], start_response: Callable[..., Any]) -> Iterable[bytes]:
    start_response("200 OK", [("Content-Length", "5")])
    return [b"hello"]


class Connection:
    """A connection to a server of a script, from its client's side."""

    def __init__(self, handler: HttpHandler) -> None:
        ours, theirs = socket.socketpair()
        server = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
        self.client = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, theirs.detach())
        self.serving = gevent.spawn(handler.serve, ServedAddress(0, socket.AF_INET, ADDRESS), server, PEER)

    def answer(self) -> bytes:
        """Return what comes; nothing when the server has closed."""
        with gevent.Timeout(PATIENCE):
            data = b""
            while not data.endswith(b"hello") and (piece := self.client.recv(4096)):
                data += piece
            return data

    def end(self) -> None:
        self.client.close()
        self.serving.join(PATIENCE)


@pytest.mark.parametrize("has_loop", [True, False], ids=["loop", "gunicorn"])
def test_request_that_comes_as_keepalive_ends_is_answered(has_loop: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    """Also where a process that got no processor finds the sweep and the request due in one turn."""
    clock = [1000.0]
    monkeypatch.setattr(idle_limit, "monotonic", lambda: clock[0])
    served = HttpServed(hello, has_loop, kind=HttpHandler, keepalive=KEEPALIVE)
    waits = served.handler._waits
    connection = Connection(served.handler)
    connection.client.sendall(REQUEST)
    assert connection.answer()

    def sweep_twice() -> None:
        waits._sweep()
        connection.client.sendall(REQUEST)
        waits._sweep()

    while not waits.waiting:
        gevent.sleep(0)
    clock[0] += 2 * KEEPALIVE
    gevent.get_hub().loop.run_callback(sweep_twice)
    assert connection.answer().startswith(b"HTTP/1.1 200")
    connection.end()
    assert waits.clients == {}
