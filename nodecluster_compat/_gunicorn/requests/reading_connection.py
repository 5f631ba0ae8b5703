"""Read the clean requests of one connection, and keep what was read beyond them for gunicorn.

Bytes come from the client's socket itself; gunicorn's reader of it (``unreader``) is made only where gunicorn needs
one, and then begins with what is left here.  :mod:`clean_connection` serves what this reads.
"""

from __future__ import annotations

from io import BytesIO
from typing import TYPE_CHECKING, Any, Final, Protocol

from gevent import get_hub, getcurrent
from gunicorn.http.unreader import IterUnreader, SocketUnreader

from .body_reader import BodyReader, HeldReader, KnownBody, NoBody
from .request_waits import WaitingParser
from .unread_body import is_unread

if TYPE_CHECKING:
    from collections.abc import Callable

    from ...gevent_runtime.idle_limit import IdleLimit
    from ...operations.metrics.request_meter import RequestMeter
    from ..gunicorn_types import Environ, Settings, Unreader
    from .access_log import AccessLog
    from .clean_reader import CleanReader
    from .clean_request import CleanRequest
    from .environs import Environs
    from .responses import CleanResponse

__all__ = ["MOST_AT_ONCE", "Common", "ReadingConnection"]

MOST_AT_ONCE: Final[int] = SocketUnreader(None).mxchunk  # what is refused as too long depends on how much comes at once
_SHORTEST_LINE: Final = 2  # an empty one may stand before a request


class Common(Protocol):
    """The attributes that the connections of one worker, or of one server in a script, have in common."""

    cfg: Settings
    worker: Any
    environs: Environs
    waits: IdleLimit
    reader: CleanReader
    meter: RequestMeter
    response: type[CleanResponse]
    access_log: AccessLog | None
    turns: Any

    @property
    def application(self) -> Callable[..., Any]:
        """What answers a request."""


class ReadingConnection(WaitingParser):
    """The requests of one connection, as they are read.

    Args:
        common: to all connections.
        server: the address that is listened on.
        client: its socket, of any kind.
        peer: its address.
        slot: that of its meter.
        serves: whether clean requests are served here, not only read.
    """

    def __init__(
        self,
        common: Common,
        server: object,
        client: Any,  # noqa: ANN401 - a socket
        peer: object,
        slot: int,
        serves: bool,
    ) -> None:
        # Not gunicorn's: what it makes is made when it is wanted.
        self.tell_of(common.cfg, client, peer)
        self.waits = common.waits
        self._common = common
        self.turns = common.turns
        self._application = common.application
        self._server = server
        self._slot = slot
        self._serves = serves
        self.mesg: Any = None
        self.req_count = 0
        self._base: Environ | None = None
        self._unreader: Unreader | None = None
        # What was read beyond a request, or by the worker that has handed it on, while gunicorn has no reader.
        self._rest = b"" if self._passage is None else self._passage.early
        self._hub: Any = None
        self._resume: Any = None  # goes on with its greenlet

    @property
    def unreader(self) -> Unreader:
        """What gunicorn reads the connection by; it begins with what was read too much."""
        if self._unreader is None:
            self._unreader = (SocketUnreader if hasattr(self._socket, "recv") else IterUnreader)(self._socket)
        if self._rest:
            self._unreader.buf = BytesIO(self._rest)  # as unread(), where nothing is held: without a copy
            self._rest = b""
        return self._unreader

    def _may_be_anothers(self, data: bytes) -> bool:
        """Whether a request has to be routed: not if its first line is whole, and has nothing that keys look for."""
        hint, end = self._hint, data.find(b"\n")
        return end < _SHORTEST_LINE or hint is None or data.find(hint, 0, end) >= 0

    def next_unserved(self) -> Any:  # noqa: ANN401 - as its twin in C
        """Return what has come, or comes first; nothing at the end of the connection.

        The twin in C serves on its way what it can.  What it returns is not served, or it is a request that was
        begun, and is gunicorn's to finish.
        """
        return self._receive()

    def _receive(self) -> bytes:
        """Return what has come, or comes first; nothing at the end of the connection."""
        if self._rest:
            data, self._rest = self._rest, b""
            return data
        if self._unreader is not None:
            if self.mesg is not None and type(self.mesg.body) is not NoBody and not self._finish_body():
                return b""
            if self._unreader.buf.getvalue():
                return self._unreader.read()
            if self._client is not None:
                self._unreader = None  # nothing is kept there
        client = self._client
        if client is None:
            self.note()
            return self.unreader.read()
        if not self.req_count and (ready := client.recv_ready(MOST_AT_ONCE)) is not None:
            return ready
        if self._resume is None:
            self._find_greenlet()
        self.note()
        return client.recv_next(MOST_AT_ONCE, self._hub, self._resume)

    def _find_greenlet(self) -> None:
        """Find out who waits, and what goes on meanwhile."""
        self._hub, self._resume = get_hub(), getcurrent().switch

    def _finish_body(self) -> bool:
        """Throw away what the application has not read of the last body; return whether there can be another."""
        if is_unread(self.mesg) or getattr(self.mesg.body, "failed", False):
            self.note()
            return self.finish_body() is not False
        return True

    def _read(self, data: bytes) -> tuple[CleanRequest, Environ] | None:
        """Return the next request and its environ; ``None``: it is not clean, and what has come of it is put back."""
        if self._base is None:
            self._find_base()
        read = self._common.reader.read(data, self._base or {}, self.source_addr)
        if read is None:
            self.began()
            self.unreader.unread(data)
            return None
        if self._waiting is not None:
            self.forget()
        request, environ, self._rest = read
        self.req_count += 1
        self.mesg = request
        request.body = self._body(request) if request.length else NoBody()
        return request, environ

    def _find_base(self) -> None:
        """Find out what the environs of this connection have in common, if that is known yet."""
        self._base = self._common.environs.base(self._socket, self.source_addr, self._server)

    def _body(self, request: CleanRequest) -> KnownBody:
        length = request.length
        if length > len(self._rest):
            return KnownBody(BodyReader(self.unreader, length))
        held, self._rest = self._rest[:length], self._rest[length:]
        return KnownBody(HeldReader(held))

    def _shown(self, request: CleanRequest) -> CleanRequest:
        """Return a request as whoever looks at it wants to see it."""
        request.unreader = self.unreader
        request.peer_addr = self.source_addr
        request.req_number = self.req_count
        return request
