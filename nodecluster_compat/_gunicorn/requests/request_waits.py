"""Tell which connections are idle: gunicorn's parser of a connection, which says when it waits for a request.

gunicorn waits for a request and reads it in one call.  Here the first bytes are waited for, noted, put back and given
to gunicorn, so that what it reads and answers is its own.  :mod:`clean_connection` builds on this.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, ClassVar

from gevent import getcurrent
from gunicorn import http
from gunicorn.http.parser import RequestParser

from ...gevent_runtime.client_socket import ClientSocket
from ...gevent_runtime.idle_limit import IdleLimit
from ...gevent_runtime.relaying import Relay
from ...routing.router import HERE, MORE
from .http2_ends import say_goaway
from .http2_refusals import refuse_over_http2
from .refusals import strict_request

if TYPE_CHECKING:
    from ..gunicorn_types import PlainRequest, RequestWait, Settings, Unreader
    from .passage import Passage

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
    _waiting: Any  # the greenlet, while its wait is noted

    def __init__(self, cfg: Settings, source: object, source_addr: object, *rest: object) -> None:
        super().__init__(cfg, source, source_addr, *rest)
        self.tell_of(cfg, source, source_addr)
        if self._passage is not None and self._passage.early:
            self.unreader.unread(self._passage.early)

    def tell_of(self, cfg: Settings, source: object, source_addr: object) -> None:
        """Set what gunicorn's does, besides the unreader, and what is ours.

        Args:
            cfg: gunicorn's settings.
            source: what is read, a socket or an iterable.
            source_addr: of the client.
        """
        self.cfg = cfg
        self.source_addr = source_addr
        self._waiting = None
        self._client = source if isinstance(source, ClientSocket) else None
        self._is_timed = bool(cfg.keepalive)  # without it, gunicorn waits for a connection's only request for ever
        self._socket: Any = source
        self._passage: Passage | None = getattr(source, "passage", None)
        self._hint = None if self._passage is None else self._passage.hint

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
        if self._passage is not None:
            data = self.routed(self._passage, data, is_reused=number > 1)
        unreader.unread(data)
        request: PlainRequest = self.odd_request(cfg, unreader, peer, number)
        return request

    def routed(self, passage: Passage, data: bytes, *, is_reused: bool) -> bytes:
        """Return what has come of a request that is to be served here.

        Args:
            passage: of this connection.
            data: what has come so far.
            is_reused: whether it is not the first request of the connection.

        Raises:
            StopIteration: it belongs to another worker, and the connection is that one's now.
        """
        decision = passage.decide(data, is_reused)
        if decision == MORE:
            data, decision = self._read_on(passage, data, is_reused)
        if decision != HERE and self._hand_on(passage, decision, data, is_reused):
            raise StopIteration("it was handed on to another worker")
        return data

    def _read_on(self, passage: Passage, data: bytes, is_reused: bool) -> tuple[bytes, int]:
        """Read until it is decided; at the end of the connection, what there is is gunicorn's to judge."""
        whole, decision = bytearray(data), MORE
        self.note()
        self.began()
        while decision == MORE:
            more = self.unreader.chunk()
            if not more:
                return bytes(whole), HERE
            whole += more
            decision = passage.decide(whole, is_reused)
        return bytes(whole), decision

    def _hand_on(self, passage: Passage, target: int, data: bytes, is_reused: bool) -> bool:
        """Give the connection to another worker; over TLS, relay it from now on, until it ends."""
        if self._client is not None:
            beneath = self._client._sock  # its descriptor, without a note that somebody has that
            return passage.hand_on(target, beneath.fileno(), beneath.family, data, is_reused)
        try:
            relay = Relay(passage.relays, data)
        except OSError:
            return False
        if not passage.hand_on(target, relay.fileno(), relay.family, data, is_reused):
            relay.give_up()
            return False
        self.forget()  # it is no wait for a request
        relay.run(self._socket)
        return True

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
        """Note that it waits no longer."""
        waiting, self._waiting = self._waiting, None
        if waiting is not None:
            self.waits.forget(waiting)


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
    say_goaway(cfg)
    http.RequestParser = WaitingParser.of
    return waits.noted_inside
