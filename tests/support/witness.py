"""Clients that ask all the time and can prove it: which requests failed, and whether a worker had taken them.

A request is known by its client's port. The primary notes each that a worker has taken, with that port and the worker's
id (``injuries.note_acks``), so a request that got no answer is one of two: *taken* by a worker, which may lose it by
dying, or *lost*, which must not happen.
"""

from __future__ import annotations

import os
import socket
import threading
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from http import HTTPStatus
from http.client import HTTPException, HTTPResponse
from pathlib import Path

from injuries import note_acks

from pytest_cluster import Cluster

__all__ = ["Acks", "Asked", "Witness", "acks_of", "witnesses"]

CLOSING = b"GET / HTTP/1.1\r\nHost: test\r\nConnection: close\r\n\r\n"
KEPT = b"GET / HTTP/1.1\r\nHost: test\r\n\r\n"
PATIENCE = 40.0
HEARD_SECONDS = 5.0
"""The client may see the end of a worker before the primary has read what that had taken."""


@dataclass(frozen=True, slots=True)
class Asked:
    """One request; ``failure`` is empty when it was answered with 200."""

    port: int
    began: float
    ended: float
    failure: str


class Acks:
    """What the primary has noted of connections that were taken."""

    def __init__(self, path: Path) -> None:
        self.path = path

    def workers_of(self, asked: Asked) -> list[int]:
        """Return who had taken the connection of a request; a port that is used again soon may have several."""
        found = []
        for line in self.path.read_text(encoding="ascii").splitlines():
            when, worker, port = line.split()
            if int(port) == asked.port and asked.began <= float(when) <= asked.ended + HEARD_SECONDS:
                found.append(int(worker))
        return found

    def forget(self) -> None:
        """Begin anew."""
        os.truncate(self.path, 0)


def acks_of(cluster: Cluster) -> Acks:
    """Let the primary note from now on which worker takes what."""
    path = Path(cluster.server.folder) / "acks"
    cluster.primary.run(note_acks, str(path))
    return Acks(path)


class Witness:
    """Clients against one address.

    Args:
        address: host and port.
        clients: so many threads, each with a connection for each request.
        pause: seconds between two requests of one.
        kept: so many threads more, each with a connection that it keeps until an answer says that it ends.
    """

    def __init__(self, address: tuple[str, int], clients: int, pause: float, kept: int = 0) -> None:
        self.asked: list[Asked] = []
        self._address = address
        self._pause = pause
        self._over = threading.Event()
        ways = [CLOSING] * clients + [KEPT] * kept
        self._threads = [threading.Thread(target=self._run, args=(way,), daemon=True) for way in ways]

    @property
    def failures(self) -> list[Asked]:
        """The requests that were not answered."""
        return [one for one in self.asked if one.failure]

    def start(self) -> None:
        """Begin to ask."""
        for thread in self._threads:
            thread.start()

    def finish(self) -> None:
        """Ask no more, and wait for the answers that are due."""
        self._over.set()
        for thread in self._threads:
            thread.join(PATIENCE + 5)

    def _run(self, request: bytes) -> None:
        while not self._over.is_set():
            began = time.monotonic()
            try:
                sock = socket.create_connection(self._address, PATIENCE)
            except ConnectionRefusedError:
                return  # the server has said that it is gone
            with sock:
                while self._ask(sock, began, request) and not self._over.is_set():
                    began = time.monotonic()

    def _ask(self, sock: socket.socket, began: float, request: bytes) -> bool:
        """Ask once, pause, and return whether the connection is kept.

        Read what the answer says it has, not to the end of the connection: a fork that hangs may keep that open.
        """
        port, failure, keeps = sock.getsockname()[1], "", False
        with HTTPResponse(sock) as answer:
            try:
                sock.sendall(request)
                answer.begin()
                answer.read()
                keeps = not answer.will_close
                if answer.status != HTTPStatus.OK:
                    failure = str(answer.status)
            except (OSError, HTTPException) as error:
                failure = type(error).__name__
        self.asked.append(Asked(port, began, time.monotonic(), failure))
        if not keeps:
            sock.close()
        self._over.wait(self._pause)
        return keeps


@contextmanager
def witnesses(cluster: Cluster, clients: int = 2, pause: float = 0.03, kept: int = 0) -> Iterator[Witness]:
    """Keep clients asking until the block ends."""
    witness = Witness((cluster.host, cluster.port), clients, pause, kept)
    witness.start()
    try:
        yield witness
    finally:
        with suppress(Exception):
            witness.finish()
