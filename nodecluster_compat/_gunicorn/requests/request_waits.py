"""Tell which connections are idle: gunicorn's parser of a connection, which says when it waits for a request.

gunicorn waits for a request and reads it in one call.  Here the first bytes are waited for, noted, put back and given
to gunicorn, so that what it reads and answers is its own.  :mod:`clean_loop` builds on this.
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
    """The requests of one connection, one after another, read by gunicorn.

    Attributes:
        waits: is told of every wait; of this process, where nobody says another.
        begun: connections that were begun by somebody else, by their sockets: gunicorn goes on with them.
        odd_request: the class of what gunicorn reads.
    """

    waits: IdleLimit
    begun: ClassVar[dict[object, WaitingParser]] = {}
    odd_request: ClassVar[Any] = strict_request()
    _waiting: Any = None  # the greenlet, while its wait is noted

    def __init__(self, cfg: Settings, source: object, source_addr: object, *rest: object) -> None:
        super().__init__(cfg, source, source_addr, *rest)
        self._client = source if isinstance(source, ClientSocket) else None
        self._is_timed = bool(cfg.keepalive)  # without it, gunicorn waits for a connection's only request for ever

    @classmethod
    def of(cls, cfg: Settings, source: object, *rest: object) -> WaitingParser:
        """Return what reads a connection; gunicorn calls it in the place of its class."""
        return cls.begun.pop(source, None) or cls(cfg, source, *rest)

    def __next__(self) -> PlainRequest:
        """Extends gunicorn's: the wait is noted."""
        if self.req_count and self.waits.is_over:
            raise StopIteration
        self.note()
        try:
            request: PlainRequest = super().__next__()
            return request
        finally:
            self.forget()

    def mesg_class(self, cfg: Settings, unreader: Unreader, peer: object, number: int = 1) -> PlainRequest:
        """Replaces gunicorn's attribute, the class of a request: once it has begun, the connection is not idle."""
        data = unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        self.began()
        unreader.unread(data)
        request: PlainRequest = self.odd_request(cfg, unreader, peer, number)
        return request

    def note(self) -> None:
        """The current greenlet waits for a request, or within one; noted already, it goes on waiting."""
        if self._waiting is None and self._is_timed:
            self._waiting = greenlet = getcurrent()
            self.waits.note(greenlet)
            if not self.req_count:
                self.waits.began()

    def began(self) -> None:
        """The current greenlet, if its wait is noted, is not idle any more."""
        if self._waiting is not None:
            self.waits.began()

    def forget(self) -> None:
        """It waits no longer."""
        if self._waiting is not None:
            self.waits.forget(self._waiting)
            self._waiting = None


def knows_idle(cfg: Settings) -> bool:
    """Whether it is known which connections are idle: uwsgi has a parser, and a life of connections, of its own."""
    return getattr(cfg, "protocol", "http") == "http"


def tell_waits(cfg: Settings, waits: IdleLimit) -> RequestWait:
    """Tell ``waits`` of every request that this process reads from now on.

    Returns:
        The context manager in which gunicorn is to wait for a request.
    """
    if not knows_idle(cfg):
        return waits
    WaitingParser.waits = waits
    refuse_over_http2()
    http.RequestParser = WaitingParser.of
    return waits.noted_inside
