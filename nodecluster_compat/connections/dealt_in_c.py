"""Let the C extension deal ordinary connections: those that go by a policy of ours, at once or in their turn.

Nearly every connection is ordinary: it is accepted, and goes to the worker that the policy chooses or to the one that a
look at it names, or waits until a worker has taken its last.  ``native/accepting.c``, ``accepted.c``, ``dealing.c``,
``choosing.c``, ``policies.c``, ``worker_queues.c``, ``offers.c``, ``taken.c``, ``arming.c`` and ``ahead.c`` do that
without a line of Python, on the very objects of the dispatchers, the policies, the open offers and the workers' ends.
Nothing is kept twice: Python does everything else, also in the middle of a batch, and goes on with what it finds.

Python does all of it if somebody has replaced :meth:`OfferingEnd.offer` or :meth:`OfferingEnd.taken`, to see what is
dealt.
"""

from __future__ import annotations

import socket
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..base.records import Connection
from .ahead import PATIENCE, Ahead
from .dispatcher import Dispatcher
from .offers import OfferingEnd
from .packets import PacketKind, encode_packet
from .policies import BUILT_IN
from .standby import Standby
from .turns import EACH, LEAD, MOST_BEHIND, MOST_LEFT, SHARE

if TYPE_CHECKING:
    from ..base.native import Native
    from .dealing_loop import DealingLoop
    from .listener import Listener
    from .untaken_offers import UntakenOffers

__all__ = ["DealtInC"]

_FAMILIES: Final = (socket.AF_INET, socket.AF_INET6, socket.AF_UNIX)
_OFFER: Final = OfferingEnd.offer  # where they are replaced, to see what is dealt, Python deals
_TAKEN: Final = OfferingEnd.taken


class _Offers(Protocol):
    """The offers of the engine: they go on where C does not."""

    _is_told: bool

    def _became_free(self, end: OfferingEnd) -> None: ...

    def arm(self) -> None:
        """See that the loop wakes up for whatever can change something."""


class DealtInC:
    """Deals for one engine, in C.

    Args:
        native: the extension.
        offering: is asked where something is not ordinary.
        taken: the epoll that tells of edges.
        offers, ends, by_fd, ahead, listeners, untaken: those of the engine; C reads and changes them.
        loop: the dealer's, which has the clock.

    Attributes:
        find_idle: the twin of :meth:`~nodecluster_compat.connections.open_offers.OpenOffers.find_idle`.
        edges: the same, as the loop calls back.
        arm: the twin of that of the offers; it asks that only where something is to change.
        standby: deals while the dealer waits for the interpreter's lock.
    """

    def __init__(
        self,
        native: Native,
        offering: _Offers,
        taken: Any,  # noqa: ANN401 - gevent hides the class
        *,
        offers: Mapping[int, OfferingEnd],
        ends: Mapping[int, OfferingEnd],
        by_fd: Mapping[int, OfferingEnd],
        ahead: Ahead,
        listeners: Mapping[int, Listener],
        untaken: UntakenOffers,
        loop: DealingLoop,
    ) -> None:
        self._native = native
        self._dealings = native.Dealings(
            engine=offering,
            taken=taken,
            offers=offers,
            ends=ends,
            by_fd=by_fd,
            ahead=ahead.waiting,
            listeners=listeners,
            turns=ahead.turns,
            allowance=ahead.allowance,
            untaken=untaken,
            loop=loop,
            epoll=loop.epoll,
            connection=Connection,
            offering_end=OfferingEnd,
            offer_method=_OFFER,
            taken_method=_TAKEN,
            policies=BUILT_IN,
            dispatcher=Dispatcher,
            lead=LEAD,
            most_behind=MOST_BEHIND,
            patience=PATIENCE,
            most_left=MOST_LEFT,
            share=SHARE,
            each=EACH,
        )
        self.find_idle = self._dealings.find_idle
        self.edges = self._dealings.edges
        self.arm = self._dealings.arm
        self.standby: Standby = native.Standby(self._dealings)

    def accept_for(self, listener: Listener) -> None:
        """Let a listener accept in C, if its addresses are of a kind that C knows."""
        listener_id = listener.served.listener_id
        if listener.served.family in _FAMILIES:
            listener.accept_in_c(
                lambda sock, dispatcher, numbers: self._native.Accepting(
                    listener,
                    sock,
                    dispatcher,
                    self._dealings,
                    encode_packet(PacketKind.OFFER, listener_id),
                    listener_id,
                    *numbers,
                )
            )
