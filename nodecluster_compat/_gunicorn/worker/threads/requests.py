"""Answer requests on threads: as ``gthread`` does, with one ``send``, and with what a drain says to clients."""

from __future__ import annotations

from collections.abc import Callable, Iterable
from ssl import SSLSocket
from threading import get_ident
from types import MethodType
from typing import TYPE_CHECKING, Any, ClassVar

from gunicorn import http
from gunicorn.http.parser import RequestParser
from gunicorn.http.wsgi import Response

from ....machine.forked_child import end_if_child
from ....routing.router import HERE, MORE
from ...requests.http2_ends import say_goaway
from ...requests.http2_refusals import refuse_over_http2
from ...requests.metering import MeteredServer
from ...requests.own_variables import own_variables
from ...requests.refusals import strict_request
from .late_requests import ThreadResponse

if TYPE_CHECKING:
    from ...gunicorn_types import PlainRequest, Settings, Unreader
    from ...requests.passage import Passage
    from .client_connection import ClientConnection

__all__ = ["answered", "read_strictly"]


def answered(application: Callable[..., Iterable[bytes]], server: MeteredServer) -> Callable[..., Iterable[bytes]]:
    """Return ``application``, answered through :class:`ThreadResponse` on behalf of ``server``.

    Args:
        application: any WSGI callable.
        server: once it ``ends_connections``, answers are the last ones of theirs.
    """
    ours = own_variables()

    def call(environ: dict[str, Any], start_response: MethodType) -> Iterable[bytes]:
        """Serve a request: watch its response, and note it for the limit of its time."""
        response: Any = start_response.__self__
        if type(response) is Response:
            response.__class__ = ThreadResponse
        response.server = server
        ident, noted = get_ident(), server.metering.responses
        if ident in noted:
            noted[ident] = response
        environ.update(ours)
        try:
            body = application(environ, start_response)
        except BaseException as error:
            end_if_child(error)
            raise
        end_if_child()
        return body

    return call


class _StrictParser(RequestParser):  # type: ignore[misc]  # gunicorn has no type hints
    """The requests of one connection, one after another."""

    odd_request: ClassVar[Any] = strict_request()
    mesg_class: Any = odd_request
    _passage: Passage
    _connection: ClientConnection

    def route_by(self, passage: Passage, connection: ClientConnection) -> None:
        """Route the requests of a connection before they are read."""
        self._passage, self._connection = passage, connection
        self.mesg_class = self._routed_request
        if passage.early:
            self.unreader.unread(passage.early)

    def _routed_request(self, cfg: Settings, unreader: Unreader, peer: object, number: int = 1) -> PlainRequest:
        """In the place of the class of a request: first it is decided whose it is."""
        data = unreader.read()
        if not data:
            raise StopIteration  # as gunicorn's Request
        unreader.unread(self._routed(self._passage, data, number > 1))
        request: PlainRequest = self.odd_request(cfg, unreader, peer, number)
        return request

    def _routed(self, passage: Passage, data: bytes, is_reused: bool) -> bytes:
        """Return what has come of a request that is to be served here.

        Raises:
            StopIteration: it belongs to another worker, and the connection is that one's now.
        """
        whole, decision = bytearray(data), passage.decide(data, is_reused)
        while decision == MORE:
            more = self.unreader.chunk()
            if not more:
                return bytes(whole)
            whole += more
            decision = passage.decide(whole, is_reused)
        if decision != HERE and self._hand_on(passage, decision, whole, is_reused):
            raise StopIteration("it was handed on to another worker")
        return bytes(whole)

    def _hand_on(self, passage: Passage, target: int, data: bytearray, is_reused: bool) -> bool:
        connection = self._connection
        sock = connection.sock
        if not isinstance(sock, SSLSocket):
            connection.is_handed_on = passage.hand_on(target, sock.fileno(), sock.family, data, is_reused)
            return connection.is_handed_on
        try:
            from ....thread_runtime.relaying import Relay  # few servers route what is encrypted

            relay = Relay(passage.relays, data)
        except OSError:
            return False
        if not passage.hand_on(target, relay.fileno(), relay.family, data, is_reused):
            relay.give_up()
            return False
        connection.relay, connection.is_handed_on = relay, True
        return True


def read_strictly(cfg: Settings) -> None:
    """Refuse, in this process, what the newest gunicorn refuses and an older one takes; and mend how HTTP/2 ends."""
    refuse_over_http2()
    say_goaway(cfg)
    http.RequestParser = _StrictParser
