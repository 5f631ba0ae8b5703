"""A small HTTP client: one request on one connection.

Keep-alive would pin every request of a test to one worker, and a test of distribution would lie.
"""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["Endpoint", "Response"]

DEFAULT_TIMEOUT = 10.0


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    """The header fields; names are looked up without regard to case."""
    body: bytes

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Any:
        """The body as JSON."""
        return json.loads(self.body)


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is reached: a host and a port, or the path of a unix socket."""

    host: str
    port: int
    path: str | None = None
    tls: bool = False

    def connect(self, timeout: float = DEFAULT_TIMEOUT) -> socket.socket:
        """Return a new connected socket, with TLS where the server has it."""
        if self.path is not None:
            plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
            try:
                plain.settimeout(timeout)
                plain.connect(self.path)
            except BaseException:
                plain.close()
                raise
        else:
            plain = socket.create_connection((self.host, self.port), timeout)
        if not self.tls:
            return plain
        context = ssl.create_default_context()
        context.check_hostname = False
        context.verify_mode = ssl.CERT_NONE
        try:
            return context.wrap_socket(plain, server_hostname=self.host or None)
        except BaseException:
            plain.close()
            raise

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float = DEFAULT_TIMEOUT,
    ) -> Response:
        """Send one request on a connection of its own and read the whole answer."""
        connection = http.client.HTTPConnection(self.host or "localhost", self.port)
        connection.sock = self.connect(timeout)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            connection.close()
