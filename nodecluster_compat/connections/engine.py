"""Deal the connections of all listeners to the workers: who joins, who leaves, who is lost.

Theory of operation
-------------------
The channel is the ledger.  An offer lies in a worker's channel until the worker takes it, or until the engine takes it
back: then it goes to another worker.  So the primary has no copy of a connection that it has offered, and a worker is
busy from an offer until it takes that, whichever listener the offer came from.  :mod:`open_offers` does this.

A worker that *routes* gives back a connection that belongs to another, with what it has read of it: that goes to the
other's channel, or waits for it, like one that a policy has named.  ``look`` saves most of these trips.  Nothing is
remembered of either.

A worker that *refuses* gives the connection back and is not asked again for that listener before it says ROOM.

Every method is called with the lock of the loop held: by the loop on the dealer's thread, by ``Dealer`` on the
arbiter's.  Nothing here waits or writes a log by itself; of users' code only a policy runs, and its faults are caught.

Rejected: an answer for every connection and a copy kept until it comes, which takes four more system calls and leaves
with a blocked worker what it was offered; taking back by age alone, with which round robin is not exact on a busy
machine.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable

from ..base.log import Log
from ..base.native import Choice
from ..base.records import ServedAddress
from ..errors import FrameError
from ..machine.members_table import MembersTable
from ..machine.spare_descriptors import SpareDescriptors
from .dealing_loop import READABLE, DealingLoop
from .failed_handoffs import FailedHandoffs
from .given_back import GivenBack
from .held_channels import HeldChannels
from .offers import OfferingEnd
from .open_offers import OpenOffers
from .policies import PolicyFactory
from .served_listeners import ServedListeners
from .worker_notices import WorkerNotices
from .worker_packets import WorkerPackets

__all__ = ["Engine"]


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
        offers: what workers are offered and have not taken.
        members: the workers that serve, as all of them read it.
        notices: what workers say.
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
        self._ends: dict[int, OfferingEnd] = {}
        self._spare = SpareDescriptors()
        self._failed_handoffs = FailedHandoffs(loop, log, self.join)
        self.listeners = ServedListeners(loop, log, make_policy, limit, self._ends)
        self.offers = OpenOffers(
            loop, self.listeners, self._ends, self._failed_handoffs, self._spare, asks=asks, choice=choice
        )
        self._given_back = GivenBack(self.listeners, log, loop.clock)
        self._held = HeldChannels(loop, self._watch, self._given_back.enough)
        self.notices = WorkerNotices(
            self, self.offers, loop, self.listeners, self._given_back, self._held, asks=asks, left=left, closed=closed
        )
        self._packets = WorkerPackets(self.notices, self.listeners.is_known, self._spare)
        self.members = MembersTable()

    def add(self, sock: _socket.socket, family: int) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it."""
        return self.listeners.add(sock, family, self.offers)

    def unsettled(self, listener_id: int, *, looks: bool = True) -> int:
        """Return how many connections of a listener no worker has taken.

        Args:
            listener_id: its number.
            looks: find out first what has been taken, which may deal further ones.
        """
        if looks:
            self.offers.find_idle()
        return self.listeners[listener_id].dispatcher.pending + self.offers.count(listener_id)

    # --- workers -------------------------------------------------------------------------------

    def enrol(self, end: OfferingEnd, pid: int) -> None:
        """A worker has a process: its channel is used from now on."""
        end.pid = pid
        end.ended = self.listeners.number_of_ended(end.worker_id)
        self._ends[end.worker_id] = end
        self._watch(end, True)
        self.offers.add(end)

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
        self.offers.take_back(end)
        if end.offered is not None:
            end.taken()
        self._loop.unwatch(end.fileno())
        self.offers.forget(end)
        self._given_back.forget(worker_id)
        self._held.forget(end)
        end.close()
        self.offers.let_follow()

    def abandon(self) -> None:
        """In a forked child: close what is the primary's; the workers' channels are closed by whoever has them."""
        for listener in self.listeners:
            listener.abandon()
        self._spare.give_up()
        self.members.close()
        self.offers.abandon()
