"""Route the requests of an ASGI worker's connection: hold back what comes until it is decided, then serve it or let go.

data ──▶ held ──decide──▶ HERE: fed to gunicorn's parser, and so is all of that request
│
└────▶ another worker: when all answers are written, the descriptor goes there and the
transport is closed, not shut; through TLS the connection is relayed from then on
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ....asyncio_runtime.relaying import Relay
from ....routing.router import HERE, MORE

if TYPE_CHECKING:
    import asyncio

    from ....base.records import PeerAddress, SocketName
    from ...requests.passage import Passage

__all__ = ["RoutedConnection", "SeenTransport"]

_LOOK_AGAIN_SECONDS: Final = 0.01


class SeenTransport:
    """A transport that names its ends as they are, where it is a relay's.

    Args:
        transport: the real one.
        names: ``peername`` and ``sockname``.
    """

    def __init__(self, transport: Any, names: dict[str, PeerAddress | SocketName]) -> None:  # noqa: ANN401 - any
        self._transport = transport
        self._names = names

    def get_extra_info(self, name: str, default: object = None) -> object:
        """As a transport's."""
        return self._names.get(name) or self._transport.get_extra_info(name, default)

    def __getattr__(self, name: str) -> Any:  # noqa: ANN401 - as it is
        return getattr(self._transport, name)


class RoutedConnection:
    """Decides about the requests of one connection.

    Args:
        passage: of the connection.
        family: of its socket.
        feed: called with what is to be served here; returns whether the connection goes on.
        let_go: called when the connection is another worker's: close it.
        close: called when the worker to which it is relayed has ended it: close it.
        relayed: called when it is relayed from now on: it waits for nothing here.
        loop: the worker's.
    """

    def __init__(
        self,
        passage: Passage,
        family: int,
        feed: Callable[[bytes], bool],
        let_go: Callable[[], None],
        close: Callable[[], None],
        relayed: Callable[[], None],
        loop: asyncio.AbstractEventLoop,
    ) -> None:
        self._passage = passage
        self._family = family
        self._feed = feed
        self._let_go = let_go
        self._close = close
        self._relayed = relayed
        self._loop = loop
        self._held = b""
        self._has_decided = False
        self._requests = 0
        self._waits = False  # for answers to be written
        self.relay: Relay | None = None

    @property
    def has_left(self) -> bool:
        """Whether what has come is another worker's."""
        return self._waits or self.relay is not None

    def next_request(self) -> None:
        """The head of a request has been read: whatever begins next is to be decided."""
        self._has_decided = False

    def received(self, data: bytes, transport: Any, fd: int) -> bool:  # noqa: ANN401 - of any loop
        """Take what has come between two requests; return whether gunicorn is to go on.

        Args:
            data: what has come.
            transport: of the connection.
            fd: its descriptor.
        """
        if self._has_decided:
            return self._feed(data)
        self._held += data
        decision = MORE if self._waits else self._passage.decide(self._held, self._requests > 0)
        if decision == MORE:
            return True
        if decision != HERE:
            self._waits = True
            transport.pause_reading()
            self._hand_on(decision, transport, fd)
            return True  # on False gunicorn would close what is relayed
        return self._serve_here()

    def _serve_here(self) -> bool:
        self._has_decided = True
        self._requests += 1
        held, self._held = self._held, b""
        return self._feed(held)

    def _hand_on(self, target: int, transport: Any, fd: int) -> None:  # noqa: ANN401 - as above
        if transport.is_closing():
            return
        if transport.get_write_buffer_size():
            self._loop.call_later(_LOOK_AGAIN_SECONDS, self._hand_on, target, transport, fd)
            return
        self._waits = False
        if transport.get_extra_info("ssl_object") is not None:
            is_sent = self._relay(target, transport)
        else:
            is_sent = self._passage.hand_on(target, fd, self._family, self._held, self._requests > 0)
            if is_sent:
                self._let_go()
        if not is_sent:
            transport.resume_reading()
            self._serve_here()

    def _relay(self, target: int, transport: asyncio.Transport) -> bool:
        try:
            relay = Relay(self._passage.relays, self._held, self._close)
        except OSError:
            return False
        if not self._passage.hand_on(target, relay.fileno(), relay.family, self._held, self._requests > 0):
            relay.give_up()
            return False
        self._held = b""
        self.relay = relay
        self._relayed()
        relay.begin(self._loop, transport)
        return True
