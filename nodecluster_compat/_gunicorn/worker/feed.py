"""Feed a worker with the connections that the primary deals, whatever its engine: greenlets, threads, asyncio.

The engine says how a connection is served (``take``) and whether there is room; the feed holds the receiver, says which
addresses are served, and stops.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import TYPE_CHECKING, Final

from ...connections.handed import Handed, read_handed
from ...connections.receiver import Receiver
from ...errors import FrameError
from ...machine.socket_objects import shared_socket
from ...operations.metrics.this_meter import this_meter

if TYPE_CHECKING:
    from ...base.log import Log
    from ...base.reactor import Reactor
    from ...base.records import PeerAddress
    from ..arbiter.birth import Birth
    from ..requests.passage import Passage
    from ..requests.served_listener import ServedListener
    from .membership import Membership
    from .request_routing import RequestRouting

__all__ = ["Feed"]

_NOT_HERE: Final = b"HTTP/1.1 503 Service Unavailable\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"


class Feed:
    """The primary's connections, as a worker gets them.

    Args:
        birth: what the worker was born with.
        membership: its place in the cluster.
        listeners: what stands for the primary's listening sockets, by their number.
        wake: called when the primary has confirmed that no further connection comes.
        log: told what another worker has done.
        speaks_http: whether this worker can read what another has begun to, which is always HTTP.

    Attributes:
        routes: of a worker that routes; set before :meth:`begin`.
        unrouted: of one that does not, for connections that others hand on to it; set as well.
    """

    unrouted: RequestRouting

    def __init__(
        self,
        birth: Birth,
        membership: Membership,
        listeners: Mapping[int, ServedListener],
        wake: Callable[[], None],
        log: Log,
        *,
        speaks_http: bool = True,
    ) -> None:
        self.listeners = listeners
        self._birth = birth
        self._membership = membership
        self._wake = wake
        self._log = log
        self._speaks_http = speaks_http
        self._has_complained = self._has_lost = False
        self.routes: RequestRouting | None = None
        self._receiver: Receiver

    def begin(
        self,
        reactor: Reactor,
        take: Callable[[int, int, int], None],
        has_room: Callable[[int], bool],
        may_take: Callable[[], bool] | None = None,
    ) -> None:
        """Answer the primary's offers from now on.

        Args:
            reactor: of the engine.
            take: given a listener's number, the descriptor of a connection that is now this worker's, and another for
                :meth:`handed`, -1 for none.
            has_room: whether one more connection of this listener can be served.
            may_take: whether one more can be taken; where not, offers lie until :meth:`room_made`.
        """
        sock, gone = self._birth.connections, self._membership.primary_gone
        self._receiver = Receiver(sock, take, has_room, self._wake, gone, may_take, on_lost=self._lost)
        self._birth.receives(self._receiver)
        self._receiver.start(reactor)
        # For each connection: no call more than it takes.
        self.room_made = self._receiver.room_made

    def handed(self, fd: int, memory: int) -> Handed | None:
        """Return what has come with a connection that another worker has begun to read; ``None``: nobody can serve it.

        That worker may have been taken over: what it writes must not end this one.  Then both descriptors are closed.
        """
        try:
            handed = read_handed(memory)
        except FrameError as error:
            self._closes(fd, error)
            return None
        if not self._speaks_http:
            _answer(fd, _NOT_HERE)
            self._closes(fd, "it speaks HTTP, and this one speaks another protocol")
            return None
        return handed

    def _closes(self, fd: int, reason: object) -> None:
        _socket.close(fd)
        this_meter().count_failed()
        if not self._has_complained:
            self._has_complained = True
            self._log.error("Closed a connection of another worker: %s", reason)

    def _lost(self) -> None:
        this_meter().count_failed()
        if not self._has_lost:
            self._has_lost = True
            self._log.error("Lost a connection: this process has no descriptor left for it (see `ulimit -n`)")

    def passage(self, listener_id: int, peer: PeerAddress, handed: Handed | None) -> Passage | None:
        """Return what routes a connection; ``None`` where there is nothing to route, and nothing has come with it."""
        if self.routes is not None:
            return self.routes.passage(listener_id, peer, handed)
        return None if handed is None else self.unrouted.passage(listener_id, peer, handed)

    def route(self, listener_id: int, target: int, fd: int, memory: int) -> bool:
        """Send a connection on; see :meth:`Receiver.route`."""
        return self._receiver.route(listener_id, target, fd, memory)

    def ask_to_look(self) -> None:
        """See :meth:`Receiver.ask_to_look`."""
        self._receiver.ask_to_look()

    def announce(self) -> None:
        """Say that the worker listens, wherever the primary does."""
        if self.routes is not None:
            self.routes.begin()
        for number, listener in self.listeners.items():
            self._membership.listens(number, listener)

    def stop(self) -> None:
        """Take no further connection; those on their way are given back."""
        self._receiver.stop()

    @property
    def has_left(self) -> bool:
        """Whether the primary has confirmed that no further connection comes."""
        return self._receiver.has_left


def _answer(fd: int, answer: bytes) -> None:
    """Send a client so few bytes, if it takes them at once."""
    with suppress(OSError):
        sock = shared_socket(fd)
        try:
            sock.send(answer, _socket.MSG_DONTWAIT)
        finally:
            sock.detach()
