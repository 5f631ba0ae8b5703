"""Ask a server whose requests are routed: raw, on connections that a test holds."""

from __future__ import annotations

import json
import re
import socket
import ssl
from typing import Any

from raw_http import Certificate

from pytest_cluster import Cluster

__all__ = ["SID", "RoutedClient", "head"]

SID = "wGf0hLQyoVuhV3R6AAAA"


def head(target: str, *fields: str, body: int = 0) -> bytes:
    """The head of a request."""
    length = [f"Content-Length: {body}"] if body else []
    method = "POST" if body else "GET"
    return "\r\n".join([f"{method} {target} HTTP/1.1", "Host: test", *fields, *length, "", ""]).encode()


class RoutedClient:
    """One connection.

    Args:
        cluster: to which.
        certificate: where it is encrypted.
    """

    def __init__(self, cluster: Cluster, certificate: Certificate | None = None) -> None:
        self.sock: socket.socket
        if certificate is None:
            self.sock = cluster.connect(30)
        else:
            self.sock = socket.create_connection((cluster.host, cluster.port), timeout=30)
            context = ssl.create_default_context(cafile=certificate.cert)
            context.check_hostname = False
            self.sock = context.wrap_socket(self.sock)
        self._rest = b""

    def __enter__(self) -> RoutedClient:
        return self

    def __exit__(self, *_: object) -> None:
        self.sock.close()

    def ask(self, target: str, *fields: str, body: bytes = b"") -> dict[str, Any]:
        """Ask, and return what the application says, with the fields of the answer as ``fields``."""
        self.sock.sendall(head(target, *fields, body=len(body)) + body)
        return self.answer()

    def session(self, worker: int, path: str = "/socket.io/") -> str:
        """Return the target of a request of a session of Engine.IO."""
        return f"{path}?EIO=4&transport=polling&sid={SID}.{worker}"

    def answer(self) -> dict[str, Any]:
        """Read one answer of the application."""
        data = self._rest
        while b"\r\n\r\n" not in data:
            data += self._more(data)
        fields, _, data = data.partition(b"\r\n\r\n")
        length = int(re.search(rb"(?i)content-length: *(\d+)", fields)[1])  # type: ignore[index]
        while len(data) < length:
            data += self._more(data)
        body, self._rest = data[:length], data[length:]
        told: dict[str, Any] = json.loads(body)
        return {**told, "fields": fields.decode("latin-1")}

    def _more(self, data: bytes) -> bytes:
        more = self.sock.recv(65536)
        assert more, f"the connection has ended behind {data!r}"
        return more
