"""Join listeners and the workers' channels: what a dispatcher decides is offered here, and taken back.

Theory of operation
-------------------
The channel is the ledger.  An offer lies in a worker's channel until the worker takes it.  The kernel reports that by
an edge of EPOLLOUT, and the engine takes back what a worker leaves there.  So a worker is *busy* from an offer until
its edge, whichever listener the offer came from, and the primary has no copy of a connection that it has offered.

Edges come to an epoll of their own (``taken_edges``).  It is asked when nobody is idle, and at a tick, and before each
choice of a policy that compares workers; it wakes the loop only while a connection waits for a worker.  With few
connections that saves a wake-up for each.

What a worker leaves lying because it is blocked, computes, is stopped or dead goes to one that is idle
(``untaken_offers``), and the worker gets a probe: when that is taken, it is idle again.

    free ──offer──▶ offered ──edge──▶ free
                       └─stuck─▶ taken back, probed ──edge──▶ free

A worker that *routes* gives back a connection that belongs to another, with what it has read of it: that goes to the
other's channel, or waits for it, like one that a policy has named.  ``look`` saves most of these trips.  Nothing is
remembered of either.

A worker that *refuses* gives the connection back and is not asked again for that listener before it says ROOM.

Every method is called with the lock of the loop held: by the loop on the dealer's thread, by ``Dealer`` on the
arbiter's.  Nothing here waits or writes a log by itself; of users' code only a policy runs, and its faults are caught.

Where the kernel does not report what was taken (``kernel_check``), workers answer each offer instead.

Rejected: an answer for every connection and a copy kept until it comes, which takes four more system calls and leaves
with a blocked worker what it was offered; taking back by age alone, with which round robin is not exact on a busy
machine.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable
from typing import Final

from ..base.log import Log
from ..base.native import Choice, in_force
from ..base.records import Connection, ServedAddress
from ..errors import FrameError
from ..machine.members_table import MembersTable
from ..machine.spare_descriptors import SpareDescriptors
from .ahead import Ahead
from .dealing_loop import READABLE, WRITABLE, DealingLoop
from .dealt_in_c import DealtInC
from .failed_handoffs import FailedHandoffs
from .given_back import GivenBack
from .handed import close_connection
from .held_channels import HeldChannels
from .listener import Listener
from .offers import OfferingEnd
from .policies import PolicyFactory
from .served_listeners import ServedListeners
from .standby import NoStandby, Standby
from .taken_edges import TakenEdges
from .untaken_offers import UntakenOffers
from .worker_notices import WorkerNotices
from .worker_packets import WorkerPackets

__all__ = ["Engine"]

_NOT_SENT: Final = (OSError, MemoryError)  # made before memory is short
_PAUSE: Final = 0.05


class Engine:
    """Deals the connections of all listeners.

    Args:
        loop: the dealer's.
        log: told when accepting or handing over has to pause; must not wait.
        make_policy: makes the policy of each listener; given what it may know of workers.
        limit: bound of the accepted connections that wait, for each listener.
        asks: whether workers answer offers, because the kernel does not tell what was taken.
        left: told of a worker (its id) that takes no more.
        closed: told of a worker whose channel is closed, and why; ``None`` for the end of the stream.
        choice: C or Python; what is in force unless it is said.

    Attributes:
        listeners: themselves, and how they are dealt.
        ahead: the workers that wait for others.
        members: the workers that serve, as all of them read it.
        count_answered: says how many requests a worker has answered, by its own count; -1: nobody knows.
        notices: what workers say.
        standby: deals while the dealer waits for the interpreter's lock.
    """

    def __init__(
        self,
        loop: DealingLoop,
        log: Log,
        make_policy: PolicyFactory,
        limit: int,
        asks: bool,
        left: Callable[[int], None],
        closed: Callable[[int, FrameError | None], None],
        choice: Choice | None = None,
    ) -> None:
        self._loop = loop
        self._log = log
        self._asks = asks
        self._ends: dict[int, OfferingEnd] = {}
        self._by_fd: dict[int, OfferingEnd] = {}
        self._offers: dict[int, OfferingEnd] = {}  # the ends with an offer that is not known to be taken
        self.listeners = ServedListeners(loop, log, make_policy, limit, self._deliver, self.find_idle, self._ends)
        self.ahead = Ahead(self.listeners, self._offers, loop.clock)
        self._taken = TakenEdges(self._ends)
        self._is_told = False  # whether an edge ends the wait of the loop
        self._has_missed = False  # whether an edge may have been told of and lost
        self._spare = SpareDescriptors()
        self._given_back = GivenBack(self.listeners, log, loop.clock)
        self._held = HeldChannels(loop, self._watch, self._given_back.enough)
        self.notices = WorkerNotices(
            self, loop, self.listeners, self._given_back, self._held, asks=asks, left=left, closed=closed
        )
        self._packets = WorkerPackets(self.notices, self.listeners.is_known, self._spare)
        self._untaken = UntakenOffers(self, loop, self._offers, self.listeners, self.ahead)
        self._failed_handoffs = FailedHandoffs(loop, log, self.join)
        self.members = MembersTable()
        self.count_answered: Callable[[int], int] = lambda _: -1
        self._in_c = self._dealt_in_c(in_force() if choice is None else choice)
        self._on_edges = self._edges if self._in_c is None else self._in_c.edges
        loop.watch(self._taken.epoll.fileno(), 0, self._on_edges)
        loop.at_turn_end = self.arm if self._in_c is None else self._in_c.arm
        self.standby: Standby = NoStandby()
        if self._in_c is not None:
            self.standby = self._in_c.standby
            loop.stand_by(self.standby)

    def _dealt_in_c(self, choice: Choice) -> DealtInC | None:
        if choice.module is None or self._asks:
            return None
        return DealtInC(
            choice.module,
            self,
            self._taken.epoll,
            offers=self._offers,
            ends=self._ends,
            by_fd=self._by_fd,
            ahead=self.ahead,
            listeners=self.listeners.by_id,
            untaken=self._untaken,
            loop=self._loop,
        )

    def add(self, sock: _socket.socket, family: int) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it."""
        return self.listeners.add(sock, family, self._accept_in_c)

    def _accept_in_c(self, listener: Listener) -> None:
        if self._in_c is not None:
            self._in_c.accept_for(listener)

    def unsettled(self, listener_id: int, *, looks: bool = True) -> int:
        """Return how many connections of a listener no worker has taken.

        Args:
            listener_id: its number.
            looks: find out first what has been taken, which may deal further ones.
        """
        if looks:
            self.find_idle()
        offered = sum(1 for end in self._offers.values() if end.offered is not None and end.offered[0] == listener_id)
        return self.listeners[listener_id].dispatcher.pending + offered

    # --- workers -------------------------------------------------------------------------------

    def enrol(self, end: OfferingEnd, pid: int) -> None:
        """A worker has a process: its channel is used from now on."""
        end.pid = pid
        end.ended = self.listeners.number_of_ended(end.worker_id)
        self._ends[end.worker_id] = self._by_fd[end.fileno()] = end
        self._watch(end, True)
        if not self._asks:
            self._taken.add(end)

    def _watch(self, end: OfferingEnd, is_read: bool) -> None:
        self._loop.watch(end.fileno(), READABLE if is_read else 0, lambda _: self._packets.read(end))

    def join(self, worker_id: int, listener_id: int) -> None:
        """The worker serves this listener from now on; a number that is none of ours is ignored."""
        listener, end = self.listeners.get(listener_id), self._ends.get(worker_id)
        if listener is None or end is None or end.has_left:
            return
        listener.dispatcher.join(worker_id)
        self.members.serves(end.slot, worker_id)
        if not end.is_busy:
            listener.dispatcher.idle(worker_id)
        listener.update()

    def leave_one(self, worker_id: int, listener_id: int) -> None:
        """The worker takes no further connections of this listener."""
        self._failed_handoffs.left(worker_id, listener_id)
        listener = self.listeners.get(listener_id)
        if listener is not None:
            listener.dispatcher.leave(worker_id)
            listener.update()

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections; what it was offered it may still take."""
        end = self._ends.get(worker_id)
        if end is not None:
            self.members.left(end.slot, worker_id)
        for listener_id in self.listeners.by_id:
            self.leave_one(worker_id, listener_id)

    def lost(self, worker_id: int) -> None:
        """The worker is gone, or its channel: what it has not taken goes to others."""
        end = self._ends.get(worker_id)
        if end is None:
            return
        self.leave(worker_id)
        del self._ends[worker_id]
        self.listeners.looks_no_more(worker_id)
        self._packets.read_rest(end)
        self.take_back(end)
        if end.offered is not None:
            end.taken()
        self._loop.unwatch(end.fileno())
        if not self._asks:
            self._taken.remove(end)
        del self._by_fd[end.fileno()]
        self._offers.pop(worker_id, None)
        self.ahead.forget(worker_id)
        self._given_back.forget(worker_id)
        self._held.forget(end)
        end.close()
        self.let_follow()

    def abandon(self) -> None:
        """In a forked child: close what is the primary's; the workers' channels are closed by whoever has them."""
        for listener in self.listeners:
            listener.abandon()
        self._spare.give_up()
        self.members.close()
        self._taken.epoll.close()

    # --- offers --------------------------------------------------------------------------------

    def _deliver(self, listener_id: int, worker_id: int, connection: Connection) -> bool:
        end = self._ends.get(worker_id)
        if end is None or end.has_left:
            return False
        try:
            if not end.offer(listener_id, connection.fd, connection.peer, connection.head, connection.target):
                return False
        except _NOT_SENT as error:
            self._failed_handoffs.failed(worker_id, listener_id, error)
            return False
        self._offers[worker_id] = end
        self.ahead.offered(worker_id)
        if len(self.listeners) > 1:
            for other in self.listeners:
                if other.served.listener_id != listener_id:
                    other.dispatcher.busy(worker_id)
        if connection.was_offered:
            close_connection(connection)
        else:  # it lingers only where that worker has taken it, set SO_LINGER, filled it and closed it by now
            _socket.close(connection.fd)
        return True

    def find_idle(self) -> None:
        """Find out what has been taken."""
        if self._in_c is not None:
            self._in_c.find_idle()
        elif self._offers or self._is_told or self._has_missed:  # what was probed shows up with the rest
            self._find_taken()

    def _find_taken(self) -> None:
        if self._has_missed:
            self._taken.tell_again()
        self._has_missed = True  # if there is no memory for what the kernel tells once
        self._act_on_edges(self._taken.epoll.poll(0))
        self._has_missed = False

    def _act_on_edges(self, edges: list[tuple[int, int]]) -> None:
        first: Exception | None = None
        for fd, events in edges:
            end = self._by_fd.get(fd)
            # A worker that has shut its end is told as well: what lies in the channel is still there.
            if end is not None and end.is_busy and events & WRITABLE:
                try:
                    self._became_free(end)
                except Exception as error:  # noqa: BLE001 - the kernel tells of each but once, so the others are next
                    first = first or error
                    end.is_busy = True  # it is told of again
        if first is not None:
            raise first

    def _became_free(self, end: OfferingEnd) -> None:
        last = 0 if end.offered is None else end.offered[0]
        end.taken()
        self._offers.pop(end.worker_id, None)
        if not self.ahead.is_to_wait(end.worker_id, last):
            self._is_idle(end, last)
        if self.ahead.waiting:
            self.let_follow()

    def _is_idle(self, end: OfferingEnd, last: int) -> None:
        listeners = self.listeners.in_turn(last)
        for listener in listeners:
            listener.dispatcher.idle(end.worker_id)
            if end.is_busy:
                break
        for listener in listeners:
            if not listener.is_watching:  # otherwise it finds out by itself that it should not
                listener.update()

    def let_follow(self) -> None:
        """Those that were ahead go on, if the others have caught up."""
        for worker_id, last in self.ahead.that_follow():
            end = self._ends.get(worker_id)
            if end is not None and not end.is_busy:
                self._is_idle(end, last)

    def take_back(self, end: OfferingEnd) -> None:
        """Give what lies in a worker's channel to others; nothing when the worker has it after all."""
        self._spare.give_up()
        taken_back = end.take_back()
        self._spare.restore()
        if taken_back is None:
            return
        self._offers.pop(end.worker_id, None)
        self.ahead.turns.taken_back(end.worker_id)
        if not end.has_left and end.worker_id in self._ends:
            self._probe(end)
        self.listeners.put_back(end.worker_id, *taken_back)
        self.let_follow()

    def _probe(self, end: OfferingEnd) -> None:
        try:
            end.probe()
        except OSError:  # no memory now, or it has gone: it is asked again after a moment
            self._loop.call_later(_PAUSE, self._is_free_if_empty, end)

    def _is_free_if_empty(self, end: OfferingEnd) -> None:
        if end.is_open and end.offered is None:
            self._became_free(end)

    # --- offers that lie -----------------------------------------------------------------------

    def answered(self, worker_id: int) -> int:
        """How many requests a worker has answered; -1: nobody knows."""
        return self.count_answered(worker_id)

    def arm(self) -> None:
        """See that the loop wakes up for whatever can change something; whoever changed something calls it."""
        if self._has_missed:  # nobody else may come to ask
            self.find_idle()
        for listener in self.listeners:
            listener.fetch()
        self._untaken.settle()
        is_told = self._untaken.rests and len(self._ends) > 1  # of no use to a single worker
        for listener in self.listeners:
            is_told = is_told or listener.dispatcher.pending > 0
        if is_told is not self._is_told:
            self._loop.watch(self._taken.epoll.fileno(), READABLE if is_told else 0, self._on_edges)
            self._is_told = is_told
        self._untaken.arm()

    def _edges(self, _: int) -> None:
        self.find_idle()
