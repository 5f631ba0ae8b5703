"""What a connection of HTTP/2 says at its end, and what it does with requests that wait for it."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import gunicorn
import pytest
from gunicorn.config import Config
from h2.connection import H2Connection
from h2.events import ConnectionTerminated, Event, ResponseReceived

from nodecluster_compat._gunicorn.requests.http2_ends import say_goaway, saying_goaway, saying_goaway_async

pytestmark = pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="older ones say no GOAWAY")

HEAD = [(":method", "POST"), (":authority", "example.test"), (":scheme", "https"), (":path", "/")]


class Pair:
    """gunicorn's connection, and its client."""

    def __init__(self) -> None:
        from gunicorn.http2.connection import HTTP2ServerConnection

        near, self.far = socket.socketpair()
        self.far.settimeout(20)
        self.server: Any = saying_goaway(HTTP2ServerConnection)(Config(), near, ("127.0.0.1", 1))
        self.client = H2Connection()
        self.client.initiate_connection()
        self.server.initiate_connection()

    def ask(self, stream: int, *, is_whole: bool) -> None:
        self.client.send_headers(stream, HEAD, end_stream=is_whole)
        self.far.sendall(self.client.data_to_send())

    def heard(self) -> list[Event]:
        self.server.sock.shutdown(socket.SHUT_WR)
        events: list[Event] = []
        while data := self.far.recv(65536):
            events += self.client.receive_data(data)
        return events


@pytest.fixture
def pair() -> Iterator[Pair]:
    made = Pair()
    with made.far, made.server.sock:
        yield made


def test_requests_that_have_come_behind_a_body_are_served_and_the_last_one_is_named(pair: Pair) -> None:
    """gunicorn's own connection takes the question for them for its end."""
    pair.ask(1, is_whole=False)
    (first,) = pair.server.receive_data()
    pair.ask(3, is_whole=True)
    pair.server.pump(1)
    (second,) = pair.server.receive_data(b"")
    assert (first.stream.stream_id, second.stream.stream_id) == (1, 3)
    assert pair.server.receive_data(b"") == []
    pair.server.send_response(3, 204, [])
    pair.server.close(last_stream_id=3)
    events = pair.heard()
    assert [event.stream_id for event in events if isinstance(event, ResponseReceived)] == [3]
    (end,) = [event for event in events if isinstance(event, ConnectionTerminated)]
    assert (end.last_stream_id, int(end.error_code)) == (3, 0)


def test_idle_connection_names_the_last_stream_that_was_opened(pair: Pair) -> None:
    pair.ask(1, is_whole=True)
    (request,) = pair.server.receive_data()
    pair.server.send_response(1, 204, [])
    pair.server.cleanup_stream(request.stream.stream_id)
    pair.server.close()
    (end,) = [event for event in pair.heard() if isinstance(event, ConnectionTerminated)]
    assert end.last_stream_id == 1


@pytest.mark.parametrize(
    ("settings", "is_mended"),
    [
        ({"is_ssl": True, "http_protocols": ["h2", "h1"], "http2_cleartext": "off"}, True),
        ({"is_ssl": False, "http_protocols": ["h2", "h1"], "http2_cleartext": "off"}, False),
        ({"is_ssl": True, "http_protocols": ["h1"], "http2_cleartext": "off"}, False),
        ({"is_ssl": False, "http_protocols": ["h1"], "http2_cleartext": "upgrade"}, True),
        ({"is_ssl": True}, False),
    ],
    ids=["TLS", "plain", "h1 alone", "cleartext", "an older gunicorn"],
)
def test_where_http2_is_spoken_its_connections_are_mended(
    monkeypatch: pytest.MonkeyPatch, settings: dict[str, Any], is_mended: bool
) -> None:
    """Once, however often it is asked for."""
    from gunicorn.http2 import async_connection, connection

    sync, tasks = connection.HTTP2ServerConnection, async_connection.AsyncHTTP2Connection
    monkeypatch.setattr(connection, "HTTP2ServerConnection", sync)
    monkeypatch.setattr(async_connection, "AsyncHTTP2Connection", tasks)
    cfg: Any = SimpleNamespace(**settings)
    say_goaway(cfg)
    assert (connection.HTTP2ServerConnection is not sync, async_connection.AsyncHTTP2Connection is not tasks) == (
        is_mended,
        is_mended,
    )
    mended = connection.HTTP2ServerConnection, async_connection.AsyncHTTP2Connection
    say_goaway(cfg)
    assert mended == (connection.HTTP2ServerConnection, async_connection.AsyncHTTP2Connection)
    if is_mended:
        assert saying_goaway(mended[0]) is mended[0]
        assert saying_goaway_async(mended[1]) is mended[1]
