"""The client of the soak, in tests/support: what it sends again, and what it calls lost."""

from __future__ import annotations

import socket
import threading
from collections.abc import Iterator

import pytest
import soak

ANSWER = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


@pytest.fixture
def address() -> Iterator[tuple[str, int]]:
    """A server that answers one request of each connection, and closes it without a word."""
    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve, args=(listener,))
        thread.start()
        yield listener.getsockname()
        listener.shutdown(socket.SHUT_RDWR)
        thread.join()


def serve(listener: socket.socket) -> None:
    while True:
        try:
            connection, _ = listener.accept()
        except OSError:
            return
        with connection:
            connection.recv(4096)
            connection.sendall(ANSWER)


def test_request_to_connection_that_has_been_idle_for_its_time_is_sent_again(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "KEPT_SECONDS", 0.0)
    client = soak.Client(address, keeps=True)
    assert [client.ask("/"), client.ask("/"), client.late] == [200, 200, 1]
    client.close()


def test_request_to_connection_that_ended_before_its_time_is_lost(
    address: tuple[str, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(soak, "KEPT_SECONDS", 1000.0)
    client = soak.Client(address, keeps=True)
    assert client.ask("/") == 200
    with pytest.raises(ConnectionError):
        client.ask("/")
    assert client.late == 0
