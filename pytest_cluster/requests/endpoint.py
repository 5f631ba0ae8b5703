"""Connect to a server, by TCP, TLS or a unix socket, and send it one request."""

from __future__ import annotations

import http.client
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass, field

from ..server.detour import Detour
from ..waiting import Patience, scaled
from .response import Response

__all__ = ["DEFAULT_TIMEOUT", "Endpoint"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_TIMEOUT = 10.0
_PART_BYTES = 1 << 18


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is reached: a host and a port, or the path of a unix socket; by a detour where there is one."""

    host: str
    port: int
    path: str | None = None
    tls: bool = False
    detour: Detour | None = field(default=None, compare=False, repr=False)

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Return a new connected socket, with TLS where the server has it."""
        plain = self._connect_plainly(scaled(DEFAULT_TIMEOUT) if timeout is None else timeout)
        return _encrypted(plain, self.host) if self.tls else plain

    def _connect_plainly(self, timeout: float) -> socket.socket:
        via = None if self.detour is None else self.detour.via
        if via is None and self.path is not None:
            return _connect_to_path(self.path, timeout)
        return socket.create_connection(via or (self.host, self.port), timeout)

    def request(
        self,
        method: str,
        path: str,
        body: bytes | None = None,
        headers: Mapping[str, str] | None = None,
        timeout: float | Patience | None = None,
        watched: set[socket.socket] | None = None,
    ) -> Response:
        """Send one request on a connection of its own and read the whole answer.

        A path without its slash gets one, as in a browser; whole URLs and ``*`` are requests of their own and stay.

        :param timeout: seconds without a byte from the server (default: 10).
        :param watched: has the connection in it as long as that is open.
        :raises OSError, http.client.HTTPException: there was no answer.
        """
        watched = set() if watched is None else watched
        seconds = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
        patience = seconds if isinstance(seconds, Patience) else Patience(seconds)
        if not path.startswith(("/", "http://", "https://")) and path != "*":
            path = f"/{path}"
        connection = http.client.HTTPConnection(self.host or "localhost", self.port)
        connection.sock = used = self.connect(patience.next())
        watched.add(used)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, _read(answer, used, patience), path, reason=answer.reason)
        finally:
            watched.discard(used)
            connection.close()


def _read(answer: http.client.HTTPResponse, connection: socket.socket, patience: Patience) -> bytes:
    """Read a body to its end: no longer than the test lasts, even if bytes come and come."""
    parts: list[bytes] = []
    while not answer.isclosed():  # with the last byte, from Python 3.13 on
        connection.settimeout(patience.next())
        part = answer.read1(_PART_BYTES)
        if not part:
            break
        parts.append(part)
    body = b"".join(parts)
    if answer.length:
        raise http.client.IncompleteRead(body, answer.length)
    return body


def _connect_to_path(path: str, timeout: float) -> socket.socket:
    plain = socket.socket(socket.AF_UNIX, socket.SOCK_STREAM)
    try:
        plain.settimeout(timeout)
        plain.connect(path)
    except BaseException:
        plain.close()
        raise
    return plain


def _encrypted(plain: socket.socket, host: str) -> ssl.SSLSocket:
    """Return TLS on a connection, whoever the server says it is: it is the one that the test has started."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    try:
        return context.wrap_socket(plain, server_hostname=host or None)
    except BaseException:
        plain.close()
        raise
