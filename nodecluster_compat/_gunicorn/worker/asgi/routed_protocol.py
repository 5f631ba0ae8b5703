"""Serve one connection whose requests are routed, or that another worker has begun to read."""

from __future__ import annotations

from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .protocol import FedProtocol
from .routed import RoutedConnection, SeenTransport

if TYPE_CHECKING:
    from ....base.records import PeerAddress, SocketName
    from ...requests.passage import Passage

__all__ = ["RoutedProtocol"]


class _HandedOn:
    """In the place of a connection, for those who ask it whether the client has left."""

    _closed = False


_HANDED_ON: Final = _HandedOn()


class RoutedProtocol(FedProtocol):
    """A connection as above."""

    _routed: RoutedConnection | None = None
    _early = b""
    _names: dict[str, Any] | None = None
    _is_handed_on = False
    _task: Any
    _finishing_calls: Any = ()  # gunicorn before 27 has none

    def route_by(self, passage: Passage, family: int) -> None:
        """Route the requests of this connection; said before it is made."""
        self._early = passage.early
        feed, waits_no_more = super()._feed_callback_parser, partial(self._idle.forget, self)
        ends = (self._let_go, self._close_transport)
        self._routed = RoutedConnection(passage, family, feed, *ends, waits_no_more, self.worker.loop)

    def name_ends(self, peer: PeerAddress, server: SocketName) -> None:
        """The connection is relayed, from a client at ``peer`` who has connected to ``server``."""
        self._names = {"peername": peer, "sockname": server}

    def connection_made(self, transport: Any) -> None:  # noqa: ANN401 - of any loop
        """Extends :class:`FedProtocol`'s: what another worker has read of it comes first."""
        if self._names is not None:
            transport = SeenTransport(transport, self._names)
        super().connection_made(transport)
        if self._names is not None:
            self._is_ssl = bool(self.cfg.is_ssl)
        if self._early:
            early, self._early = self._early, b""
            self.data_received(early)

    def _feed_callback_parser(self, data: bytes) -> bool:
        """Extends :class:`FedProtocol`'s: what has come may be another worker's."""
        if self._routed is None or self._current_request is not None:
            return super()._feed_callback_parser(data)
        self._has_part = True
        return self._routed.received(data, self.transport, self.fd)

    def _on_headers_complete(self) -> object:
        """Extends gunicorn's: whatever comes after this request is another one."""
        if self._routed is not None:
            self._routed.next_request()
        return super()._on_headers_complete()

    def _let_go(self) -> None:
        """The connection is another worker's: close what is here, without a word to the client."""
        for receiver in dict(self._finishing_calls).values():
            if receiver is not None:
                receiver.protocol = _HANDED_ON
        self._closed = self._is_handed_on = True
        self.fd = -1
        self.transport.abort()
        self._request_ready.set()

    def _lose(self, exc: Exception | None) -> None:
        """Extends :class:`FedProtocol`'s: the client has not left, and what runs after earlier answers goes on."""
        if not self._is_handed_on:
            super()._lose(exc)
            return
        kept = self._task, self._finishing_calls
        self._task, self._finishing_calls = None, {}
        super()._lose(exc)
        self._task, self._finishing_calls = kept

    # --- where it is relayed -----------------------------------------------------------------------

    @property
    def _relay(self) -> Any:  # noqa: ANN401 - a relay, or none
        return None if self._routed is None else self._routed.relay

    def data_received(self, data: bytes) -> None:
        """Extends gunicorn's: a connection that is relayed is not read here."""
        if self._relay is not None:
            self._relay.write(data)
        else:
            super().data_received(data)

    def pause_writing(self) -> None:
        """Extends gunicorn's, as above."""
        super().pause_writing()
        if self._relay is not None:
            self._relay.pause(True)

    def resume_writing(self) -> None:
        """Extends gunicorn's, as above."""
        super().resume_writing()
        if self._relay is not None:
            self._relay.pause(False)

    def _arm_keepalive_timer(self) -> None:
        """Extends :class:`FedProtocol`'s: what is relayed waits for nothing here."""
        if self._relay is None:
            super()._arm_keepalive_timer()

    def _awaits_first_request(self) -> bool:
        """Extends :class:`FedProtocol`'s: one that has come, and is another worker's, is not read here."""
        return super()._awaits_first_request() and (self._routed is None or not self._routed.has_left)

    def connection_lost(self, exc: Exception | None) -> None:
        """Extends :class:`FedProtocol`'s: the other worker sees the end."""
        if self._relay is not None:
            self.fd = -1
            self._relay.client_lost()
        super().connection_lost(exc)
