"""Act on what workers say of themselves and of connections: taken, given back, no room, room again, leaving.

``worker_packets`` reads it; called with the lock of the dealer's loop held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Protocol

from ..base.records import Connection
from ..errors import FrameError
from .dealing_loop import DealingLoop
from .given_back import GivenBack
from .held_channels import HeldChannels
from .offers import OfferingEnd
from .open_offers import OpenOffers
from .served_listeners import ServedListeners

__all__ = ["WorkerNotices"]


class _Engine(Protocol):
    """What the engine does about it."""

    def leave(self, worker_id: int) -> None:
        """The worker takes no further connections."""

    def lost(self, worker_id: int) -> None:
        """The worker is gone, or its channel."""


class WorkerNotices:
    """Acts on what the workers of one engine say.

    Args:
        engine: the engine.
        offers, listeners, given_back, held: the engine's.
        loop: the dealer's.
        asks: whether workers answer offers, because the kernel does not tell what was taken.
        left: told of a worker (its id) that takes no more.
        closed: told of a worker whose channel is closed, and why; ``None`` for the end of the stream.
    """

    def __init__(
        self,
        engine: _Engine,
        offers: OpenOffers,
        loop: DealingLoop,
        listeners: ServedListeners,
        given_back: GivenBack,
        held: HeldChannels,
        *,
        asks: bool,
        left: Callable[[int], None],
        closed: Callable[[int, FrameError | None], None],
    ) -> None:
        self._engine = engine
        self._offers = offers
        self._loop = loop
        self._listeners = listeners
        self._given_back = given_back
        self._held = held
        self._asks = asks
        self._left = left
        self._closed = closed

    def taken(self, end: OfferingEnd) -> None:
        """The worker answers an offer; where the kernel tells, it has done so already."""
        if self._asks:
            self._offers._became_free(end)

    def refused(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker gives a connection back, untouched."""
        self._given_back.refused(end, listener_id, connection)

    def routed(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker has read the head of a request on a connection, which belongs to another."""
        self._given_back.routed(end, listener_id, connection)
        if not self._asks:  # otherwise what says that a worker is idle would not be read
            self._held.came(end)

    def looks(self, end: OfferingEnd) -> None:
        """The worker routes what it reads: look at connections from now on, before they are dealt."""
        self._listeners.looks(end.worker_id)

    def has_room(self, end: OfferingEnd, listener_id: int) -> None:
        """The worker, which had refused, can take connections again."""
        listener = self._listeners.get(listener_id)
        if listener is not None:
            listener.dispatcher.has_room(end.worker_id)
            self._offers.find_idle()
            if not end.is_busy:
                listener.dispatcher.idle(end.worker_id)
            listener.update()

    def leaves(self, end: OfferingEnd) -> None:
        """The worker takes no more, nor what lies in its channel now; a no-op when it has said so."""
        if end.has_left:
            return
        end.has_left = True
        self._engine.leave(end.worker_id)
        self._offers.take_back(end)
        self._left(end.worker_id)

    def ended(self, end: OfferingEnd, error: FrameError | None) -> None:
        """The channel is at its end, or broken: the worker gets nothing more."""
        if end.has_left and error is None:
            self._loop.unwatch(end.fileno())  # as it had said; its process is seen off by the other channel
            return
        self._engine.lost(end.worker_id)
        self._closed(end.worker_id, error)
