"""What a request of the plugin's client looks like on the wire."""

from __future__ import annotations

import socket
import threading

import pytest

from pytest_cluster.client import Endpoint


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/visits", "/visits"),
        ("visits", "/visits"),
        ("?page=2", "/?page=2"),
        ("", "/"),
        ("//visits", "//visits"),
        ("*", "*"),
        ("http://shop.test/visits", "http://shop.test/visits"),
    ],
)
def test_a_path_has_its_slash(path: str, target: str) -> None:
    seen: list[bytes] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            seen.append(client.recv(65536).partition(b"\r\n")[0])
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        Endpoint(*listener.getsockname()).request("OPTIONS", path, timeout=20)
        thread.join(20)
    assert seen == [f"OPTIONS {target} HTTP/1.1".encode()]
