"""Deal on all listening sockets of the primary: what a worker says or suffers concerns each of them."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import TYPE_CHECKING

from ..base.records import Connection, ServedAddress
from ..errors import FrameError
from .listener import Listener
from .policies import PolicyFactory

if TYPE_CHECKING:
    import _socket

    from ..base.log import Log
    from ..base.loop import Loop

__all__ = ["Dealer"]


class Dealer:
    """All listeners of the primary, by number.

    Args:
        loop: the primary's loop.
        log: told when accepting has to pause.
        make_policy: makes the policy of each listener.
        deliver: sends a connection to a worker: listener id, worker id, connection.
        limit: bound of the accepted connections that wait, for each listener.
    """

    def __init__(
        self,
        loop: Loop,
        log: Log,
        make_policy: PolicyFactory,
        deliver: Callable[[int, int, Connection], bool],
        limit: int,
    ) -> None:
        self._loop = loop
        self._log = log
        self._make_policy = make_policy
        self._deliver = deliver
        self._limit = limit
        self._last_id = 0
        self._by_id: dict[int, Listener] = {}

    def __iter__(self) -> Iterator[Listener]:
        return iter(self._by_id.values())

    def __len__(self) -> int:
        return len(self._by_id)

    def __getitem__(self, listener_id: int) -> Listener:
        return self._by_id[listener_id]

    @property
    def waiting_connections(self) -> int:
        """Accepted connections that no worker has acknowledged yet."""
        return sum(listener.unsettled for listener in self)

    def next_id(self) -> int:
        """Return a number that no listener has or will have."""
        self._last_id += 1
        return self._last_id

    def add(self, sock: _socket.socket, family: int) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it."""
        served = ServedAddress(self.next_id(), family, sock.getsockname())
        self._by_id[served.listener_id] = Listener(
            sock, served, self._loop, self._log, self._make_policy(), self._deliver, self._limit
        )
        return served

    def remove(self, listener_id: int) -> None:
        """Accept no more on this listener and reset what waits: nobody serves it any more."""
        self._by_id.pop(listener_id).close()

    def abandon(self) -> None:
        """In a forked child: close the inherited copies of connections that wait, or their clients never see an end."""
        for listener in self:
            listener.abandon()

    def join(self, worker_id: int, listener_id: int) -> None:
        """The worker serves this listener from now on; a number that is none of ours is ignored."""
        listener = self._by_id.get(listener_id)
        if listener is not None:
            listener.join(worker_id)

    def accepted(self, worker_id: int, listener_id: int) -> None:
        """The worker has taken the connection of this listener that it was offered.

        Raises:
            FrameError: it answers for a listener that does not exist.
        """
        listener = self._answered(listener_id)
        if listener is not None:
            listener.accepted(worker_id)

    def refused(self, worker_id: int, listener_id: int) -> None:
        """The worker sent back the connection of this listener that it was offered; as :meth:`accepted`."""
        listener = self._answered(listener_id)
        if listener is not None:
            listener.refused(worker_id)

    def _answered(self, listener_id: int) -> Listener | None:
        """Return the listener; ``None`` for one whose last worker has left, which is owed nothing any more."""
        listener = self._by_id.get(listener_id)
        if listener is None and listener_id > self._last_id:
            raise FrameError(f"a worker answered for a listener that never existed: {listener_id}")
        return listener

    def has_room(self, worker_id: int, listener_id: int) -> None:
        """A worker that had refused can take connections of this listener again."""
        listener = self._by_id.get(listener_id)
        if listener is not None:
            listener.has_room(worker_id)

    def leave_one(self, worker_id: int, listener_id: int) -> None:
        """The worker takes no further connections of this listener."""
        listener = self._by_id.get(listener_id)
        if listener is not None:
            listener.leave(worker_id)

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections; those it has not answered are still its own."""
        for listener in self:
            listener.leave(worker_id)

    def lost(self, worker_id: int) -> None:
        """The worker is gone: what it did not acknowledge goes to others."""
        for listener in self:
            listener.lost(worker_id)
