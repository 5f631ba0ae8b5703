"""Take, in a worker, the connections that the primary offers.

A connection that was taken is this worker's.  One for which it has no room, it gives back, untouched, before any
application code sees it; the primary deals it elsewhere and asks again after ROOM.

Where room comes and goes with every request, as in a worker of threads, that would be too much talk: such a worker
*leaves offers lying* while it is full (``may_take``).  The primary sees that as it sees a worker that is blocked: the
connection goes to another as soon as one is idle, and else is taken here without a word.

States: taking ──stop()──▶ left.  From then on the kernel refuses the primary every offer, and one that was under way
already is the primary's to take back.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING

from ..base.native import Choice
from ..base.reactor import Reactor
from .packets import PacketKind
from .taking_end import TakingEnd

if TYPE_CHECKING:
    from .connection_faults import ConnectionFaults, OnTheirWay, Take

__all__ = ["Receiver"]


class Receiver:
    """Decides which offers to take.

    Args:
        sock: the worker's end of the connection channel.
        take: given the listener's id and the descriptor of a connection that is now this worker's, and the descriptor
            of what another worker has read of it, -1 for nothing.
        has_room: whether one more connection of this listener can be served; asked for every offer.
        on_left: called when no further offer comes.
        on_primary_gone: called once when the primary has closed the channel.
        may_take: where given, offers lie while it says no, and none is given back for want of room.
        choice: C or Python; what is in force unless it is said.
        on_lost: called when a connection was lost, because this process had no descriptor left; see :class:`TakingEnd`.
    """

    def __init__(
        self,
        sock: _socket.socket,
        take: Take,
        has_room: Callable[[int], bool],
        on_left: Callable[[], None],
        on_primary_gone: Callable[[], None],
        may_take: Callable[[], bool] | None = None,
        choice: Choice | None = None,
        on_lost: Callable[[], None] | None = None,
    ) -> None:
        self._take = take
        self._has_room = has_room
        self._on_left = on_left
        self._end = TakingEnd(sock, self._offered, on_primary_gone, may_take, choice, on_lost)
        self._refused: set[int] = set()
        self._on_their_way: OnTheirWay | None = None
        self.has_left = False

    def start(self, reactor: Reactor) -> None:
        """Take offers through ``reactor`` from now on."""
        self._end.attach(reactor)

    def room_made(self) -> None:
        """A connection has ended: tell the primary, if it was refused one; take what lies here."""
        self._end.go_on()
        if self._refused and not self.has_left:
            for listener_id in [number for number in self._refused if self._has_room(number)]:
                self._refused.discard(listener_id)
                self._end.say(PacketKind.ROOM, listener_id)

    def route(self, listener_id: int, target: int, fd: int, head: int) -> bool:
        """Send a connection on, to another worker (0: to anybody); both descriptors stay the caller's.

        Returns:
            Whether the primary has it now, or gets it when it reads on.
        """
        return self._end.route(listener_id, target, fd, head)

    def ask_to_look(self) -> None:
        """Let the primary look at connections before it deals them: this worker routes."""
        self._end.say(PacketKind.LOOK)

    def forget(self, listener_id: int) -> None:
        """A server is closed: ``has_room`` says no to what is still offered for it, and nobody waits for its room."""
        self._refused.discard(listener_id)

    def stop(self) -> None:
        """Take no more."""
        if not self.has_left:
            self.has_left = True
            self._give_back_late()
            self._end.leave()
            self._on_left()

    def close(self) -> None:
        """Close this end of the channel."""
        self._give_back_late()
        self._end.close()

    def interpose(self, faults: ConnectionFaults, on_lost: Callable[[], None]) -> None:
        """Under test: leave each connection that is taken from now on to ``faults`` before it is served.

        Args:
            faults: let it come, or lose it.
            on_lost: called for each that is lost.
        """
        from .connection_faults import OnTheirWay  # of use to nobody else

        self._on_their_way = OnTheirWay(faults, partial(self._came, self._take), self._end.give_back, on_lost)
        self._take = self._on_their_way.take

    def abandon(self) -> None:
        """In a process that this worker forked: close the inherited copy."""
        self._end.abandon()

    def _offered(self, listener_id: int, fd: int, head: int) -> None:
        try:
            has_room = self._has_room(listener_id)
            if not has_room:
                self._refused.add(listener_id)
        except MemoryError:
            _socket.close(fd)
            if head >= 0:
                _socket.close(head)
            raise
        if has_room:
            self._take(listener_id, fd, head)
        else:
            self._end.give_back(listener_id, fd, head)

    def _came(self, take: Take, listener_id: int, fd: int, head: int) -> None:
        """Serve a connection that comes late, or give it back if there is no room any more."""
        if self._has_room(listener_id):
            take(listener_id, fd, head)
        else:
            self._refused.add(listener_id)
            self._end.give_back(listener_id, fd, head)

    def _give_back_late(self) -> None:
        if self._on_their_way is not None:
            self._on_their_way.give_back()
