"""A client that sends each request when it is due, and not when an answer came; see `arrivals.py`.

One thread and one selector: a few hundred requests a second cost it some hundredths of a core.  `SelectSelector`,
because epoll's time-outs are whole milliseconds: no descriptor above 1023, hence at most some 900 requests.

With `connections` the requests are dealt to that many open connections, the one that has been idle for longest first;
a request for which none is idle waits in the client, and that is part of its latency.
"""

from __future__ import annotations

import selectors
import socket
import time
from collections import deque
from collections.abc import Sequence
from contextlib import suppress
from dataclasses import dataclass, field

from load import HOST

from comparison.arrivals import Arrival

PATIENCE_SECONDS = 5.0
RECEIVE_BYTES = 65536
PATHS = {False: "/", True: "/slow"}


@dataclass(frozen=True)
class Answer:
    """One answered request: whether it was a slow one, and the seconds from when it was due to the last byte."""

    slow: bool
    latency: float


@dataclass
class Outcome:
    """What became of all requests.

    Attributes:
        answers: in the order in which they came.
        errors: requests that were refused, cut, answered with another status than 200, or not at all.
        delays: seconds by which each request was sent too late because this client did not get a core.
    """

    answers: list[Answer] = field(default_factory=list)
    errors: int = 0
    delays: list[float] = field(default_factory=list)


@dataclass
class Exchange:
    """A request that is under way."""

    slow: bool
    due: float
    received: bytes = b""
    sent: bool = False


def request_bytes(slow: bool, *, close: bool) -> bytes:
    """The request as it goes over the wire."""
    header = "Connection: close\r\n" if close else ""
    return f"GET {PATHS[slow]} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode()


def is_whole(data: bytes) -> bool:
    """Whether this is an answer with its whole body; every side says how long that is."""
    head, found, body = data.partition(b"\r\n\r\n")
    if not found:
        return False
    lines = (line.partition(b":") for line in head.lower().split(b"\r\n"))
    return any(name == b"content-length" and len(body) >= int(value) for name, _, value in lines)


class OpenLoop:
    """Sends each request when it is due: `OpenLoop(port, arrivals).run()`."""

    def __init__(self, port: int, arrivals: Sequence[Arrival], connections: int = 0) -> None:
        self._port = port
        self._arrivals = arrivals
        self._connections = connections
        self._selector = selectors.SelectSelector()
        self._idle: deque[socket.socket] = deque()
        self._unsent: deque[Exchange] = deque()
        self._outcome = Outcome()

    def run(self) -> Outcome:
        """Send everything and wait for the last answer, for at most five seconds."""
        with self._selector:
            try:
                self._send_and_wait()
            finally:
                for key in list(self._selector.get_map().values()):
                    self._end(key.fileobj)
        self._outcome.errors = len(self._arrivals) - len(self._outcome.answers)
        return self._outcome

    def _send_and_wait(self) -> None:
        for _ in range(self._connections):
            self._make_idle(socket.create_connection((HOST, self._port), PATIENCE_SECONDS))
        start = time.monotonic()
        for arrival in self._arrivals:
            due = start + arrival.due
            while (left := due - time.monotonic()) > 0:
                self._turn(left)
            self._outcome.delays.append(-left)
            self._begin(Exchange(arrival.slow, due))
        deadline = time.monotonic() + PATIENCE_SECONDS
        while self._under_way() and (left := deadline - time.monotonic()) > 0:
            self._turn(left)

    def _under_way(self) -> bool:
        return bool(self._unsent) or len(self._selector.get_map()) > len(self._idle)

    def _turn(self, seconds: float) -> None:
        for key, _ in self._selector.select(seconds):
            assert isinstance(key.fileobj, socket.socket)
            try:
                self._ready(key.fileobj, self._selector.get_key(key.fileobj).data)
            except OSError:
                self._end(key.fileobj)

    def _begin(self, exchange: Exchange) -> None:
        if not self._connections:
            client = socket.socket()
            client.setblocking(False)
            client.connect_ex((HOST, self._port))
            self._selector.register(client, selectors.EVENT_WRITE, exchange)
        else:
            self._unsent.append(exchange)
            self._deal()

    def _deal(self) -> None:
        """Give what waits to the connections that are idle."""
        while self._unsent and self._idle:
            client = self._idle.popleft()
            try:
                self._send(client, self._unsent.popleft())
            except OSError:
                self._end(client)

    def _ready(self, client: socket.socket, exchange: Exchange | None) -> None:
        if exchange is None:
            self._replace(client)
        elif not exchange.sent:
            self._send(client, exchange)
        else:
            data = client.recv(RECEIVE_BYTES)
            exchange.received += data
            if is_whole(exchange.received):
                self._answered(client, exchange)
            elif not data:
                self._end(client)

    def _send(self, client: socket.socket, exchange: Exchange) -> None:
        client.sendall(request_bytes(exchange.slow, close=not self._connections))
        exchange.sent = True
        self._selector.modify(client, selectors.EVENT_READ, exchange)

    def _answered(self, client: socket.socket, exchange: Exchange) -> None:
        if exchange.received.startswith(b"HTTP/1.1 200"):
            self._outcome.answers.append(Answer(exchange.slow, time.monotonic() - exchange.due))
        if self._connections:
            self._selector.unregister(client)
            self._make_idle(client)
            self._deal()
        else:
            self._end(client)

    def _make_idle(self, client: socket.socket) -> None:
        client.setblocking(False)
        self._selector.register(client, selectors.EVENT_READ, None)
        self._idle.append(client)

    def _replace(self, client: socket.socket) -> None:
        """The server has closed an idle connection, which it may."""
        self._idle.remove(client)
        self._end(client)
        self._make_idle(socket.create_connection((HOST, self._port), PATIENCE_SECONDS))

    def _end(self, client: object) -> None:
        """Close a connection; its request, if it had one that was not answered, counts as an error."""
        assert isinstance(client, socket.socket)
        with suppress(KeyError, ValueError):
            self._selector.unregister(client)
        client.close()
