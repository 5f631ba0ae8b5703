"""Tell which connections are idle: gunicorn's parser of a connection, which says when it waits for a request.

gunicorn waits for a request and reads it in one call.  Here the first bytes are waited for, noted, put back and given
to gunicorn, so that what it reads and answers is its own.  :mod:`clean_requests` builds on this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gevent import getcurrent
from gunicorn import http
from gunicorn.http.parser import RequestParser

from ...runtime.client_socket import ClientSocket
from ...runtime.idle_limit import IdleLimit
from .http2_refusals import refuse_over_http2
from .refusals import strict_request

if TYPE_CHECKING:
    from ..gunicorn_types import PlainRequest, RequestWait, Settings, Unreader

__all__ = ["WaitingParser", "knows_idle", "tell_waits"]


class WaitingParser(RequestParser):  # type: ignore[misc]  # gunicorn has no type hints
    """The requests of one connection, one after another.

    Attributes:
        waits: is told of every wait; of this process.
        odd_request: the class of what gunicorn reads.
    """

    waits: ClassVar[IdleLimit]
    odd_request: ClassVar[Any] = strict_request()

    def __init__(self, cfg: Settings, source: object, source_addr: object, *rest: object) -> None:
        super().__init__(cfg, source, source_addr, *rest)
        self._client = source if isinstance(source, ClientSocket) else None
        self._is_timed = bool(cfg.keepalive)  # without it, gunicorn waits for a connection's only request for ever

    def __next__(self) -> PlainRequest:
        """Extends gunicorn's: the wait is noted."""
        if self.req_count and self.waits.is_over:
            raise StopIteration
        request: PlainRequest
        if not self._is_timed:
            request = super().__next__()
            return request
        greenlet = getcurrent()
        self.waits.note(greenlet)
        try:
            if not self.req_count:
                self.waits.began()
            request = super().__next__()
            return request
        finally:
            self.waits.forget(greenlet)

    def mesg_class(self, cfg: Settings, unreader: Unreader, peer: object, number: int = 1) -> PlainRequest:
        """Replaces gunicorn's attribute, the class of a request: once it has begun, the connection is not idle."""
        data = unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        return self.odd(data)

    def odd(self, data: bytes) -> PlainRequest:
        """Let gunicorn read the request that begins with ``data``, and wait for the rest of it."""
        self.waits.began()
        self.unreader.unread(data)
        request: PlainRequest = self.odd_request(self.cfg, self.unreader, self.source_addr, self.req_count)
        return request


def knows_idle(cfg: Settings) -> bool:
    """Whether it is known which connections are idle: uwsgi has a parser, and a life of connections, of its own."""
    return getattr(cfg, "protocol", "http") == "http"


def tell_waits(cfg: Settings, waits: IdleLimit, parser: type[WaitingParser] = WaitingParser) -> RequestWait:
    """Tell ``waits`` of every request that this process reads from now on.

    Args:
        cfg: gunicorn's settings.
        waits: is told.
        parser: what reads.

    Returns:
        The context manager in which gunicorn is to wait for a request.
    """
    if not knows_idle(cfg):
        return waits
    parser.waits = waits
    refuse_over_http2()
    http.RequestParser = parser
    return waits.noted_inside
