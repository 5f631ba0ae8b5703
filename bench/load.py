"""Clients: one HTTP connection that obeys `Connection: close`, and threads that keep many of them busy."""

from __future__ import annotations

import itertools
import socket
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from types import TracebackType

HOST = "127.0.0.1"
RECEIVE_BYTES = 65536


class RequestFailed(Exception):
    """No complete answer came; `str()` is the reason: refused, reset, eof, timeout."""


@dataclass(frozen=True)
class Response:
    """An answer: its status, its body, and whether the server will close the connection."""

    status: int
    body: bytes
    close: bool


class Connection:
    """One client connection."""

    def __init__(self, port: int, timeout: float = 10.0) -> None:
        try:
            self._socket = socket.create_connection((HOST, port), timeout)
        except TimeoutError:
            raise RequestFailed("timeout") from None
        except OSError:
            raise RequestFailed("refused") from None
        self.answered = 0

    def __enter__(self) -> Connection:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        self._socket.close()

    def get(self, path: str, *, close: bool = False) -> Response:
        """Send a request and read the answer; with `close`, ask the server to close afterwards."""
        header = "Connection: close\r\n" if close else ""
        try:
            self._socket.sendall(f"GET {path} HTTP/1.1\r\nHost: localhost\r\n{header}\r\n".encode())
            response = self._read()
        except TimeoutError:
            raise RequestFailed("timeout") from None
        except OSError:
            raise RequestFailed("reset") from None
        self.answered += 1
        return response

    def _read(self) -> Response:
        data = b""
        while b"\r\n\r\n" not in data:
            data += self._receive()
        head, _, body = data.partition(b"\r\n\r\n")
        status_line, *lines = head.decode("latin-1").split("\r\n")
        headers = {name.lower(): value.strip() for name, _, value in (line.partition(":") for line in lines)}
        length = int(headers["content-length"])
        while len(body) < length:
            body += self._receive()
        close = headers.get("connection", "").lower() == "close"
        return Response(int(status_line.split()[1]), body, close)

    def _receive(self) -> bytes:
        data = self._socket.recv(RECEIVE_BYTES)
        if not data:
            raise RequestFailed("eof")
        return data


def get_once(port: int, path: str = "/", timeout: float = 10.0) -> Response:
    """One request on a connection of its own."""
    with Connection(port, timeout) as connection:
        return connection.get(path, close=True)


def try_once(port: int, path: str = "/") -> Response | None:
    """The same; None where it failed."""
    try:
        return get_once(port, path)
    except RequestFailed:
        return None


@dataclass(frozen=True)
class Record:
    """One request as the client saw it; `failure` is empty when it was answered with 200.

    `fresh` says that it was the first request of its connection.
    """

    started: float
    ended: float
    path: str
    body: str
    failure: str
    fresh: bool


class Load:
    """Threads that send requests until they are stopped: `with Load(port, clients=16) as load: ...`."""

    def __init__(
        self,
        port: int,
        clients: int,
        *,
        keep_alive: bool,
        marked: bool = False,
        pause: float = 0.0,
        limit: float = 60.0,
        until_refused: bool = False,
    ) -> None:
        self.records: list[Record] = []
        self._port = port
        self._keep_alive = keep_alive
        self._marked = marked
        self._pause = pause
        self._limit = limit
        self._until_refused = until_refused
        self._numbers = itertools.count()
        self._stop = threading.Event()
        self._threads = [threading.Thread(target=self._run, daemon=True) for _ in range(clients)]

    def __enter__(self) -> Load:
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self._stop.set()
        self.join()

    def join(self) -> None:
        """Wait until every thread has ended, which `until_refused` makes them do by themselves."""
        for thread in self._threads:
            thread.join(self._limit)

    @property
    def failures(self) -> list[Record]:
        return [record for record in self.records if record.failure]

    def _run(self) -> None:
        deadline = time.monotonic() + self._limit
        connection: Connection | None = None
        while not self._stop.is_set() and time.monotonic() < deadline:
            connection, record = self._request(connection)
            if record.failure == "refused" and self._until_refused:
                break
            self.records.append(record)
            if record.failure or self._pause:
                time.sleep(self._pause or 0.01)
        if connection is not None:
            connection.close()

    def _request(self, connection: Connection | None) -> tuple[Connection | None, Record]:
        """One request; returns the connection too if it can be used again."""
        path = f"/mark/{next(self._numbers)}" if self._marked else "/"
        started = time.monotonic()
        fresh = connection is None
        try:
            if connection is None:
                connection = Connection(self._port)
            response = connection.get(path, close=not self._keep_alive)
        except RequestFailed as error:
            if connection is not None:
                connection.close()
            return None, Record(started, time.monotonic(), path, "", str(error), fresh)
        failure = "" if response.status == 200 else str(response.status)
        record = Record(started, time.monotonic(), path, response.body.decode(), failure, fresh)
        if response.close or not self._keep_alive:
            connection.close()
            return None, record
        return connection, record


def in_threads(number: int, work: Callable[[], None], limit: float = 30.0) -> None:
    """Run `work()` in so many threads at once and wait for all."""
    threads = [threading.Thread(target=work, daemon=True) for _ in range(number)]
    for thread in threads:
        thread.start()
    deadline = time.monotonic() + limit
    for thread in threads:
        thread.join(max(0.0, deadline - time.monotonic()))


def many_requests(port: int, number: int, path: str, clients: int, limit: float) -> list[str]:
    """Send so many requests, each on its own connection; returns the bodies, or the reasons of failures."""
    bodies: list[str] = []
    left = itertools.count()
    deadline = time.monotonic() + limit

    def client() -> None:
        while next(left) < number and time.monotonic() < deadline:
            try:
                bodies.append(get_once(port, path, timeout=40.0).body.decode())
            except RequestFailed as error:
                bodies.append(str(error))

    in_threads(clients, client, limit + 45.0)
    return bodies
