"""Connect to a server, by TCP, TLS or a unix socket, and send it one request."""

from __future__ import annotations

import http.client
import json
import socket
import ssl
from collections.abc import Mapping
from dataclasses import dataclass

from ..values import Json
from ..waiting import scaled
from ..wire.records import HEADER, PAGE_HEADER

__all__ = ["DEFAULT_TIMEOUT", "Endpoint", "Response"]

__tracebackhide__ = True  # pytest shows the frames of the test, and --full-trace shows all

DEFAULT_TIMEOUT = 10.0
SHOWN_BYTES = 200


@dataclass(frozen=True, slots=True)
class Response:
    """An answer, read to its end."""

    status: int
    headers: http.client.HTTPMessage
    """The header fields; names are looked up without regard to case."""
    body: bytes

    @property
    def worker(self) -> int | None:
        """The id of the worker that has answered; ``None`` when none under test did."""
        value = self.headers.get(HEADER, "") or self.headers.get(PAGE_HEADER, "")
        return int(value) if value.isdigit() else None

    @property
    def is_page_of_server(self) -> bool:
        """Whether the server itself has answered: the application has raised, or it was never asked."""
        return PAGE_HEADER in self.headers

    @property
    def text(self) -> str:
        """The body as UTF-8."""
        return self.body.decode()

    def json(self) -> Json:
        """The body as JSON."""
        return json.loads(self.body)

    def __repr__(self) -> str:
        who = "nobody under test" if self.worker is None else f"worker {self.worker}"
        return f"<{self.status} from {who}: {self.body[:SHOWN_BYTES]!r}{'…' if len(self.body) > SHOWN_BYTES else ''}>"


@dataclass(frozen=True, slots=True)
class Endpoint:
    """Where a server is reached: a host and a port, or the path of a unix socket."""

    host: str
    port: int
    path: str | None = None
    tls: bool = False

    def connect(self, timeout: float | None = None) -> socket.socket:
        """Return a new connected socket, with TLS where the server has it."""
        timeout = scaled(DEFAULT_TIMEOUT) if timeout is None else timeout
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
        timeout: float | None = None,
        watched: set[socket.socket] | None = None,
    ) -> Response:
        """Send one request on a connection of its own and read the whole answer.

        A path without its slash gets one, as in a browser; whole URLs and ``*`` are requests of their own and stay.

        :param watched: has the connection in it as long as that is open.
        :raises OSError, http.client.HTTPException: there was no answer.
        """
        watched = set() if watched is None else watched
        if not path.startswith(("/", "http://", "https://")) and path != "*":
            path = f"/{path}"
        connection = http.client.HTTPConnection(self.host or "localhost", self.port)
        connection.sock = used = self.connect(timeout)
        watched.add(used)
        try:
            connection.request(method, path, body, {"Connection": "close", **(headers or {})})
            answer = connection.getresponse()
            return Response(answer.status, answer.headers, answer.read())
        finally:
            watched.discard(used)
            connection.close()
