"""Who can still read an answer, by what the kernel says of a connection."""

from __future__ import annotations

import socket
import struct
from collections.abc import Iterator

import pytest

from nodecluster_compat.machine.peeking import is_hung_up


@pytest.fixture(params=[socket.AF_UNIX, socket.AF_INET], ids=["unix", "TCP"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """A server's end and its client's, which has asked."""
    if request.param == socket.AF_UNIX:
        server, client = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            client = socket.create_connection(listener.getsockname())
            server = listener.accept()[0]
    client.sendall(b"GET / HTTP/1.1\r\n\r\n")
    with server, client:
        yield server, client


def test_who_waits_for_an_answer_has_not_hung_up(ends: tuple[socket.socket, socket.socket]) -> None:
    """Nor has who has shut the side that it writes to, which is legal."""
    server, client = ends
    assert not is_hung_up(server.fileno())
    client.shutdown(socket.SHUT_WR)
    assert not is_hung_up(server.fileno())


def test_who_resets_has_hung_up(ends: tuple[socket.socket, socket.socket]) -> None:
    """What has come before is still there; nobody reads what is answered."""
    server, client = ends
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    assert is_hung_up(server.fileno())
