"""Threads that write to one connection through TLS: in turn, each whole."""

from __future__ import annotations

import select
import socket
import ssl
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from contextlib import contextmanager
from threading import Event, RLock
from typing import Any, Final

import pytest
from raw_http import Certificate, make_certificate

from nodecluster_compat.thread_runtime.tls_socket import let_threads_write

PATIENCE: Final = 20.0
LARGE: Final = bytes(4_000_000)  # more than both kernels' buffers hold
SMALL: Final = b"x" * 10


@pytest.fixture(scope="module")
def certificate(tmp_path_factory: pytest.TempPathFactory) -> Certificate:
    return make_certificate(tmp_path_factory.mktemp("tls"))


class Noted:
    """A lock that says when somebody waits for it."""

    def __init__(self) -> None:
        self._lock = RLock()
        self.awaited = Event()

    def __enter__(self) -> None:
        if not self._lock.acquire(blocking=False):
            self.awaited.set()
            self._lock.acquire()

    def __exit__(self, *_: object) -> None:
        self._lock.release()


@contextmanager
def pair(certificate: Certificate) -> Iterator[tuple[ssl.SSLSocket, ssl.SSLSocket]]:
    """A server's end and a client's, each shaken hands with."""
    serving = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    serving.load_cert_chain(certificate.cert, certificate.key)
    asking = ssl.create_default_context(cafile=certificate.cert)
    near, far = socket.socketpair()
    far.settimeout(PATIENCE)
    with near, far, ThreadPoolExecutor(1) as pool:
        shaken = pool.submit(asking.wrap_socket, far, server_hostname="127.0.0.1")
        with serving.wrap_socket(near, server_side=True) as server, shaken.result() as client:
            yield server, client


@contextmanager
def breaking(sock: ssl.SSLSocket) -> Iterator[None]:
    """Break a connection at the end, so that nobody goes on writing to it."""
    try:
        yield
    finally:
        socket.socket.shutdown(sock, socket.SHUT_RDWR)  # not ssl's own, which lets go of the session


def read(client: ssl.SSLSocket, size: int) -> bytes:
    data = b""
    while len(data) < size:
        data += client.recv(size - len(data))
    return data


@pytest.mark.parametrize(
    "write",
    [lambda sock: sock.send(SMALL), lambda sock: sock.sendall(SMALL), lambda sock: sock.write(SMALL)],
    ids=["send", "sendall", "write"],
)
def test_who_writes_waits_for_who_is_writing(certificate: Certificate, write: Callable[[Any], object]) -> None:
    """The client reads nothing before both are at it."""
    with pair(certificate) as (server, client), ThreadPoolExecutor(2) as pool, breaking(server):
        let_threads_write(server)
        lock: Any = Noted()
        server._writing = lock  # type: ignore[attr-defined]
        first = pool.submit(server.sendall, LARGE)
        assert select.select([client], [], [], PATIENCE)[0]
        second = pool.submit(write, server)
        second.add_done_callback(lambda _: lock.awaited.set())
        assert lock.awaited.wait(PATIENCE)
        data = read(client, len(LARGE) + len(SMALL))
        assert second.result() in (None, len(SMALL))
        assert first.result() is None
        assert data == LARGE + SMALL
