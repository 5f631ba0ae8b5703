"""What the other host has not acknowledged."""

from __future__ import annotations

import os
import socket
from contextlib import suppress

from nodecluster_compat.machine.unarrived import unarrived


def test_what_is_under_way_is_counted() -> None:
    with socket.create_server(("127.0.0.1", 0)) as listening, socket.socket() as client:
        client.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, 4096)
        client.connect(listening.getsockname())
        server, _ = listening.accept()
        with server:
            assert unarrived(server.fileno()) == 0
            server.settimeout(0)
            with suppress(BlockingIOError):
                while True:
                    server.send(bytes(65536))
            assert unarrived(server.fileno()) > 0


def test_what_is_no_connection_has_nothing_under_way() -> None:
    with open(os.devnull, "rb") as file:
        assert unarrived(file.fileno()) == 0
    assert unarrived(-1) == 0
