"""HTTP/2 at the end of a connection: the last answer comes whole, and GOAWAY names the last stream that was served."""

from __future__ import annotations

import socket
import ssl
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from typing import Any, Final

import gunicorn
import pytest
from h2.connection import H2Connection
from h2.settings import SettingCodes
from h2_client import DATA, END_STREAM, GOAWAY, h2_context, whole_frames
from kinds import ASGI, GEVENT, THREADS
from raw_http import Certificate, folder_of
from remote_control import wait_said

from pytest_cluster import Cluster, ClusterFactory

pytestmark = pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="older ones say no GOAWAY")

KINDS: Final = {"gevent": GEVENT, "threads": THREADS, "asgi": ASGI}
LOOPS: Final = {**KINDS, "asyncio": {**ASGI, "settings": {"asgi_loop": "asyncio"}}}
ANSWER_BYTES: Final = 64_000
HEAD: Final = {":method": "GET", ":authority": "example.test"}


class TalkingClient:
    """Reads slowly, and says something with each piece of an answer.

    Attributes:
        frames: what has come.
        body_bytes: of all answers.
    """

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock
        self._head = {**HEAD, ":scheme": "https" if isinstance(sock, ssl.SSLSocket) else "http"}
        self._connection = H2Connection()
        self._connection.initiate_connection()
        self._connection.update_settings({SettingCodes.INITIAL_WINDOW_SIZE: 1 << 20})  # it all may be under way
        self._connection.increment_flow_control_window(1 << 20)
        self._received = bytearray()
        self.frames: list[bytes] = []
        self.body_bytes = 0

    def ask(self, path: str) -> None:
        """Open a stream."""
        stream = self._connection.get_next_available_stream_id()
        self._connection.send_headers(stream, list({**self._head, ":path": path}.items()), end_stream=True)
        self._sock.sendall(self._connection.data_to_send())

    def read_to_the_end(self) -> None:
        """Take all, and answer what asks for one."""
        while piece := self._sock.recv(512):
            self._received += piece
            for frame in whole_frames(self._received):
                self._take(frame)
            if b"z" in piece:
                self._connection.ping(b"12345678")
                self._connection.increment_flow_control_window(1)
            with suppress(OSError):  # the server may have closed, after all was read
                self._sock.sendall(self._connection.data_to_send())

    def _take(self, frame: bytes) -> None:
        self.frames.append(frame)
        if frame[3] == DATA:
            self.body_bytes += frame.count(b"z")
        if frame[3] != GOAWAY:  # behind which the library would say nothing
            self._connection.receive_data(frame)

    @property
    def farewells(self) -> list[tuple[int, int]]:
        """The last stream and the error of each GOAWAY behind the last answer."""
        ends = [number for number, frame in enumerate(self.frames) if (frame[3], frame[4]) == (DATA, END_STREAM)]
        later = [frame for frame in self.frames[ends[-1] :] if frame[3] == GOAWAY] if ends else []
        return [(int.from_bytes(frame[9:13], "big"), int.from_bytes(frame[13:17], "big")) for frame in later]


@contextmanager
def talking(server: Cluster, *, is_encrypted: bool = True) -> Iterator[TalkingClient]:
    with socket.socket() as plain:
        plain.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)  # most of the answer waits at the server
        plain.settimeout(20)
        plain.connect((server.host, server.port))
        if not is_encrypted:
            yield TalkingClient(plain)
            return
        with h2_context().wrap_socket(plain) as sock:
            yield TalkingClient(sock)


def started(factory: ClusterFactory, certificate: Certificate, kind: str, **settings: Any) -> Cluster:
    options = LOOPS[kind]
    tls = {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1"}
    settings = {**options.get("settings", {}), **tls, **settings}
    return factory(**{**options, "workers": 1, "app": "saying_more:app", "cwd": None, "settings": settings})


@pytest.mark.parametrize("kind", LOOPS)
def test_answer_before_max_requests_reaches_a_client_that_says_more(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: str
) -> None:
    """A connection that is closed with something unread is reset, and what is still under way is lost."""
    server = started(cluster_factory, certificate, kind, max_requests=1)
    with talking(server) as client:
        client.ask("/")
        client.read_to_the_end()
    assert client.body_bytes == ANSWER_BYTES
    assert client.farewells[-1] == (1, 0)
    server.journal.wait_for("exit", worker=1)


@pytest.mark.parametrize("kind", KINDS)
def test_answer_in_cleartext_reaches_a_client_that_says_more(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: str
) -> None:
    plain = {"keyfile": None, "certfile": None, "http2_cleartext": "prior-knowledge"}
    server = started(cluster_factory, certificate, kind, max_requests=1, **plain)
    with talking(server, is_encrypted=False) as client:
        client.ask("/")
        client.read_to_the_end()
    assert client.body_bytes == ANSWER_BYTES
    assert client.farewells[-1] == (1, 0)


@pytest.mark.table(quick=["SIGHUP-gevent", "SIGHUP-threads", "SIGTERM-asgi"])
@pytest.mark.parametrize("kind", KINDS)
@pytest.mark.parametrize("way", ["SIGHUP", "SIGTERM"])
def test_answer_amid_a_drain_reaches_a_client_that_says_more(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: str, way: str
) -> None:
    server = started(cluster_factory, certificate, kind)
    with talking(server) as client:
        client.ask("/held")
        wait_said(server, told="held")
        server.primary.signal(way)
        wait_said(server, told="leaving")
        (folder_of(server) / "release").touch()
        client.read_to_the_end()
    assert client.body_bytes == ANSWER_BYTES
    assert client.farewells[-1] == (1, 0)
    server.journal.wait_for("exit", worker=1)
    assert "graceful timeout" not in server.log


@pytest.mark.parametrize("kind", KINDS)
def test_idle_connection_ends_with_the_number_of_its_last_stream(
    cluster_factory: ClusterFactory, certificate: Certificate, kind: str
) -> None:
    server = started(cluster_factory, certificate, kind, keepalive=1)
    with talking(server) as client:
        client.ask("/")
        client.ask("/")
        client.read_to_the_end()
    assert client.body_bytes == 2 * ANSWER_BYTES
    assert client.farewells == [(3, 0)]
