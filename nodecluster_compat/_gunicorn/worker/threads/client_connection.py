"""Make a client's connection of a descriptor: gunicorn's, and the socket that its threads read."""

from __future__ import annotations

import _socket
import socket
from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from gunicorn import http
from gunicorn.workers.gthread import TConn

if TYPE_CHECKING:
    from ....connections.handed import Handed
    from ....thread_runtime.relaying import Relay
    from ...gunicorn_types import Settings
    from ...requests.passage import Passage

__all__ = ["ClientConnection", "ConnectionFactory"]


class _ClientSocket(socket.socket):
    """A client's socket, which only threads of the pool read: it blocks, and gunicorn need not say so each time.

    Attributes:
        limit: seconds that a TLS handshake may take, where there is to be one; gunicorn would let it wait for ever.
        is_blocking: whether the kernel lets its calls wait, as far as is known, and for as long as they like.
        is_taken: whether it has its connection: gunicorn's is made for a main thread that reads without waiting.
    """

    limit: float | None = None
    is_blocking = False  # as it comes from another worker, it may or may not be
    is_taken = False

    def setblocking(self, flag: bool) -> None:
        """Extends Python's: once is enough, and the main thread asks the kernel before it reads."""
        if not flag:
            if self.is_taken:
                self.settimeout(0)
        elif not self.is_blocking:
            self.settimeout(self.limit)

    def settimeout(self, value: float | None) -> None:
        """Extends Python's: the next request is read without what an application has set for itself."""
        super().settimeout(value)
        self.is_blocking = value is None


class ClientConnection(TConn):  # type: ignore[misc]  # gunicorn has no type hints
    """gunicorn's connection, and where it stands in this worker.

    Attributes:
        unread_bytes: what its client has sent after the last answer, and nobody reads.
        unarrived_bytes: what its host had not taken of the last answer, when that was asked.
        may_say_until: when, after its last answer, its client has said enough.
        passage: what is known of it where requests are routed, or it came from another worker.
        is_relayed: TLS has ended in another worker.
        relay: it is another worker's, and TLS ends here.
        is_handed_on: it is another worker's.
        is_taken_over: it is the application's, which has said so by ``StopIteration``.
        watched: its descriptor, and what is called once that is readable.
        is_http2: whether it speaks HTTP/2; before 25.0 gunicorn's has no such attribute.
        sock, client, parser, initialized, data_ready: gunicorn's.
    """

    unread_bytes = 0
    unarrived_bytes = 0
    may_say_until = 0.0
    passage: Passage | None = None
    is_relayed = False
    relay: Relay | None = None
    is_handed_on = False
    is_taken_over = False
    watched: tuple[int, Callable[[], None]]
    is_http2 = False
    sock: Any
    client: Any
    parser: Any
    initialized: bool
    data_ready: bool

    @property
    def has_early(self) -> bool:
        """Whether another worker has read something of it, which is to be served."""
        return self.passage is not None and bool(self.passage.early)

    def init(self) -> None:
        """Extends gunicorn's: the handshake is done here (24.1 leaves it to the first read), and ends in time."""
        if self.initialized:
            return
        if self.is_relayed:
            self.initialized = True
            self.sock.setblocking(True)
            self.parser = http.get_parser(self.cfg, self.sock, self.client)
        else:
            self._begin()
        if self.passage is not None and not self.is_http2:
            self.parser.route_by(self.passage, self)

    def _begin(self) -> None:
        try:
            super().init()
            if self.cfg.is_ssl:
                self.sock.do_handshake()
        except TimeoutError:
            raise StopIteration("no TLS handshake in time") from None
        if self.cfg.is_ssl:
            from ....thread_runtime.tls_socket import let_threads_write  # few servers speak TLS

            self.sock.settimeout(None)
            let_threads_write(self.sock)


class ConnectionFactory:
    """Makes connections of descriptors and of accepted sockets.

    Args:
        cfg: gunicorn's settings.
        handshake_timeout: seconds that a TLS handshake may take; 0 for no limit.
    """

    def __init__(self, cfg: Settings, handshake_timeout: float) -> None:
        self._cfg = cfg
        self._limit = (handshake_timeout or None) if cfg.is_ssl else None

    def make(self, family: int, fd: int, name: object, handed: Handed | None = None) -> ClientConnection:
        """Return a connection.

        Args:
            family: of its socket.
            fd: its descriptor.
            name: what it was accepted on.
            handed: what came with it from another worker.

        Raises:
            OSError: its client has left; the descriptor is closed.
        """
        try:
            sock = _ClientSocket(family, socket.SOCK_STREAM, 0, fileno=fd)
        except OSError:
            _socket.close(fd)
            raise
        if handed is None:
            sock.limit = self._limit
            sock.is_blocking = sock.limit is None and sock.gettimeout() is None  # so it was accepted
        try:
            connection = ClientConnection(self._cfg, sock, handed.address(sock) if handed else sock.getpeername(), name)
            connection.is_relayed = handed is not None
            sock.is_taken = True
            return connection
        except OSError:
            sock.close()
            raise
