"""Offer connections to workers, find out which of them are taken, and take back the others.

A worker is *busy* from an offer until the kernel reports, by an edge of EPOLLOUT, that the worker has taken it.  The
engine says which workers there are (:mod:`engine`, which has the theory); this keeps the offers that are open.

Edges come to an epoll of their own (``taken_edges``).  It is asked when nobody is idle, and at a tick, and before each
choice of a policy that compares workers; it wakes the loop only while a connection waits for a worker.  With few
connections that saves a wake-up for each.

What a worker leaves lying because it is blocked, computes, is stopped or dead goes to one that is idle
(``untaken_offers``), and the worker gets a probe: when that is taken, it is idle again.

    free ──offer──▶ offered ──edge──▶ free
                       └─stuck─▶ taken back, probed ──edge──▶ free

Where the kernel does not report what was taken (``kernel_check``), workers answer each offer instead.

Called with the lock of the dealer's loop held.  The C extension does the same on the same objects (``dealt_in_c``).
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from ..base.native import Choice, in_force
from ..base.records import Connection
from ..machine.spare_descriptors import SpareDescriptors
from .ahead import Ahead
from .dealing_loop import READABLE, WRITABLE, DealingLoop
from .dealt_in_c import DealtInC
from .failed_handoffs import FailedHandoffs
from .handed import close_connection
from .listener import Listener
from .offers import OfferingEnd
from .served_listeners import ServedListeners
from .standby import NoStandby, Standby
from .taken_edges import TakenEdges
from .untaken_offers import UntakenOffers

__all__ = ["OpenOffers"]

_NOT_SENT: Final = (OSError, MemoryError)  # made before memory is short
_PAUSE: Final = 0.05


class OpenOffers:
    """The offers of one engine that are not known to be taken.

    Args:
        loop: the dealer's.
        listeners: the engine's; what they accept is offered.
        ends: the primary's ends of the channels of the workers that have a process, by worker.
        failed_handoffs: told of workers to which the kernel cannot hand a connection.
        spare: given up while a connection is taken back, which needs descriptors.
        asks: whether workers answer offers, because the kernel does not report what was taken.
        choice: C or Python.

    Attributes:
        by_worker: the ends in which an offer lies, by worker.
        ahead: the workers that wait for others.
        count_answered: says how many requests a worker has answered, by its own count; -1: nobody knows.
        standby: deals while the dealer waits for the interpreter's lock.
    """

    def __init__(
        self,
        loop: DealingLoop,
        listeners: ServedListeners,
        ends: Mapping[int, OfferingEnd],
        failed_handoffs: FailedHandoffs,
        spare: SpareDescriptors,
        *,
        asks: bool,
        choice: Choice | None,
    ) -> None:
        self._loop = loop
        self._listeners = listeners
        self._ends = ends
        self._failed_handoffs = failed_handoffs
        self._spare = spare
        self._asks = asks
        self._by_fd: dict[int, OfferingEnd] = {}
        self._taken = TakenEdges(ends)
        self._is_told = False  # whether an edge ends the wait of the loop
        self._has_missed = False  # whether an edge may have been reported and lost
        self.by_worker: dict[int, OfferingEnd] = {}
        self.ahead = Ahead(listeners, self.by_worker, loop.clock)
        self._untaken = UntakenOffers(self, loop, self.by_worker, listeners, self.ahead)
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
            offers=self.by_worker,
            ends=self._ends,
            by_fd=self._by_fd,
            ahead=self.ahead,
            listeners=self._listeners.by_id,
            untaken=self._untaken,
            loop=self._loop,
        )

    def accept_for(self, listener: Listener) -> None:
        """Let the C extension, if it deals here, accept for a listener."""
        if self._in_c is not None:
            self._in_c.accept_for(listener)

    # --- channels ------------------------------------------------------------------------------

    def add(self, end: OfferingEnd) -> None:
        """Connections may be offered in this channel from now on."""
        self._by_fd[end.fileno()] = end
        if not self._asks:
            self._taken.add(end)
            self._hear_of_new()

    def _hear_of_new(self) -> None:
        """Have the kernel tell of a new channel now: later its place would be before those that are taken first.

        What cannot be acted on now is asked for again.
        """
        with suppress(Exception):
            self._find_taken()

    def forget(self, end: OfferingEnd) -> None:
        """The worker of this channel is gone."""
        if not self._asks:
            self._taken.remove(end)
        del self._by_fd[end.fileno()]
        self.by_worker.pop(end.worker_id, None)
        self.ahead.forget(end.worker_id)

    def abandon(self) -> None:
        """Close, in a forked child, what is the primary's."""
        self._taken.epoll.close()

    def count(self, listener_id: int) -> int:
        """Return how many open offers are connections of a listener."""
        return sum(end.offered is not None and end.offered[0] == listener_id for end in self.by_worker.values())

    # --- offers --------------------------------------------------------------------------------

    def deliver(self, listener_id: int, worker_id: int, connection: Connection) -> bool:
        """Offer a connection of a listener to a worker; ``False``: the worker is out of reach."""
        end = self._ends.get(worker_id)
        if end is None or end.has_left:
            return False
        try:
            if not end.offer(listener_id, connection.fd, connection.peer, connection.head, connection.target):
                return False
        except _NOT_SENT as error:
            self._failed_handoffs.failed(worker_id, listener_id, error)
            return False
        self.by_worker[worker_id] = end
        self.ahead.offered(worker_id)
        if len(self._listeners) > 1:
            for other in self._listeners:
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
        elif self.by_worker or self._is_told or self._has_missed:  # what was probed shows up with the rest
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
        self.by_worker.pop(end.worker_id, None)
        if not self.ahead.is_to_wait(end.worker_id, last):
            self._is_idle(end, last)
        if self.ahead.waiting:
            self.let_follow()

    def _is_idle(self, end: OfferingEnd, last: int) -> None:
        listeners = self._listeners.in_turn(last)
        for listener in listeners:
            listener.dispatcher.idle(end.worker_id)
            if end.is_busy:
                break
        for listener in listeners:
            if not listener.is_watching:  # otherwise it finds out by itself that it should not
                listener.update()

    def let_follow(self) -> None:
        """Let workers that were ahead go on, if the others have caught up."""
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
        self.by_worker.pop(end.worker_id, None)
        self.ahead.turns.taken_back(end.worker_id)
        if not end.has_left and end.worker_id in self._ends:
            self._probe(end)
        self._listeners.put_back(end.worker_id, *taken_back)
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
        for listener in self._listeners:
            listener.fetch()
        self._untaken.settle()
        is_told = self._untaken.rests and len(self._ends) > 1  # of no use to a single worker
        for listener in self._listeners:
            is_told = is_told or listener.dispatcher.pending > 0
        if is_told is not self._is_told:
            self._loop.watch(self._taken.epoll.fileno(), READABLE if is_told else 0, self._on_edges)
            self._is_told = is_told
        self._untaken.arm()

    def _edges(self, _: int) -> None:
        self.find_idle()
