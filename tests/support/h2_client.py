"""A client of HTTP/2 on a connected socket: a few requests at once, then the answers."""

from __future__ import annotations

import socket
import ssl
from collections import defaultdict
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

from h2.connection import H2Connection
from h2.events import DataReceived, InformationalResponseReceived, ResponseReceived, StreamEnded, StreamReset

from pytest_cluster import Cluster

__all__ = ["DATA", "END_STREAM", "GOAWAY", "Answer", "body_of", "fetch", "h2", "h2_context", "opened", "whole_frames"]

DATA: Final = 0
END_STREAM: Final = 1
GOAWAY: Final = 7
HEAD: Final = 9


@dataclass
class Answer:
    """What came back on one stream."""

    headers: dict[str, str] = field(default_factory=dict)
    early: list[dict[str, str]] = field(default_factory=list)
    body: bytes = b""
    reset: bool = False

    @property
    def status(self) -> int:
        """The status code."""
        return int(self.headers[":status"])


def fetch(
    client: socket.socket,
    *paths: str,
    body: bytes = b"",
    headers: Mapping[str, str] | None = None,
    farewells: list[bytes] | None = None,
) -> list[Answer]:
    """Request every path on a stream of its own, all at once; return the answers in the order of the paths.

    A GOAWAY goes to *farewells*: behind it ``h2`` would read no answer, and a server may say it at any time.
    """
    connection = H2Connection()
    connection.initiate_connection()
    streams = []
    for path in paths:
        stream = connection.get_next_available_stream_id()
        streams.append(stream)
        head = {":method": "POST" if body else "GET", ":path": path, ":authority": "example.test", ":scheme": "https"}
        connection.send_headers(stream, list({**head, **(headers or {})}.items()), end_stream=not body)
        if body:
            connection.send_data(stream, body, end_stream=True)
    client.sendall(connection.data_to_send())
    answers: dict[int, Answer] = defaultdict(Answer)
    open_streams = set(streams)
    received = bytearray()
    while open_streams:
        data = client.recv(65536)
        assert data, f"the connection was closed with {len(open_streams)} streams open"
        received += data
        for frame in whole_frames(received):
            if frame[3] == GOAWAY:
                (farewells if farewells is not None else []).append(frame)
                continue
            for event in connection.receive_data(frame):
                take(connection, event, answers, open_streams)
        client.sendall(connection.data_to_send())
    return [answers[stream] for stream in streams]


def h2(cluster: Cluster) -> ssl.SSLSocket:
    """A connection that speaks HTTP/2, and trusts everybody."""
    return h2_context().wrap_socket(socket.create_connection((cluster.host, cluster.port), 20))


def h2_context() -> ssl.SSLContext:
    """A client's context that asks for HTTP/2 and trusts everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2"])
    return context


def opened(client: socket.socket, path: str) -> H2Connection:
    """A connection on which one request is under way."""
    connection = H2Connection()
    connection.initiate_connection()
    head = {":method": "GET", ":path": path, ":authority": "example.test", ":scheme": "https"}
    connection.send_headers(1, list(head.items()), end_stream=True)
    client.sendall(connection.data_to_send())
    return connection


def body_of(client: socket.socket, connection: H2Connection) -> bytes:
    """The body of the answer to that request."""
    answers: dict[int, Answer] = defaultdict(Answer)
    open_streams = {1}
    while open_streams:
        data = client.recv(65536)
        assert data, "the connection was closed amid the answer"
        for event in connection.receive_data(data):
            take(connection, event, answers, open_streams)
    return answers[1].body


def whole_frames(received: bytearray) -> Iterator[bytes]:
    """Take the frames that have come whole from the front."""
    while len(received) >= HEAD and len(received) >= (end := HEAD + int.from_bytes(received[:3], "big")):
        yield bytes(received[:end])
        del received[:end]


def take(connection: H2Connection, event: Any, answers: dict[int, Answer], open_streams: set[int]) -> None:
    """Note what one event says."""
    if isinstance(event, ResponseReceived):
        answers[event.stream_id].headers = decoded(event.headers)
    elif isinstance(event, InformationalResponseReceived):
        answers[event.stream_id].early.append(decoded(event.headers))
    elif isinstance(event, DataReceived):
        answers[event.stream_id].body += event.data
        connection.acknowledge_received_data(event.flow_controlled_length, event.stream_id)
    elif isinstance(event, StreamEnded | StreamReset):
        answers[event.stream_id].reset = isinstance(event, StreamReset)
        open_streams.discard(event.stream_id)


def decoded(headers: Any) -> dict[str, str]:
    """Return headers as text."""
    return {
        (name.decode() if isinstance(name, bytes) else name): (value.decode() if isinstance(value, bytes) else value)
        for name, value in headers
    }
