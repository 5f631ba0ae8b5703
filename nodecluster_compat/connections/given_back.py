"""Deal what workers give back, and hold each to what it was handed: on the dealer's thread.

A worker gives back a connection for which it has no room (REFUSED), or that belongs to another (ROUTE).  With a
descriptor of its own, sent again and again, it could fill the primary, and put that before every client.  So

* a worker that gives back more than it was handed is faulty, and loses its channel;
* what was refused goes before those that wait only as often as its worker was offered something; further ones wait
  behind them, as what is routed does;
* so many of one worker, and of all, may wait that the primary keeps descriptors for everybody else; no more is read of
  a worker until then (``held_channels``), and what comes nevertheless is closed.

Called with the lock of the dealer's loop held.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Final

from ..base.log import Log
from ..base.records import Connection, PeerAddress
from ..errors import FrameError
from .handed import close_connection, share_of_descriptors
from .offers import OfferingEnd
from .served_listeners import ServedListeners

__all__ = ["GivenBack"]

_MOST_FIRST: Final = 3  # an offer may be under way while a refusal is, and one more lie
_SHARE: Final = 8  # of the primary's descriptors; each connection has two at most
_OF_ALL: Final = 2  # times what one worker may give back: so much may all of them
_FRESH_SECONDS: Final = 0.001


class _Account:
    """Counts what one worker has given back."""

    __slots__ = ("closed", "first", "offered", "refused", "routed", "waiting")

    def __init__(self) -> None:
        self.refused = self.routed = self.closed = 0
        self.first = 0  # how many may go before those that wait
        self.offered = 0  # when that was computed
        self.waiting: set[tuple[int, PeerAddress]] = set()  # at the last look, and those that came since

    def may_go_first(self, offered: int) -> bool:
        """Whether what was refused now has the place of what its worker was offered."""
        self.first = min(_MOST_FIRST, self.first + max(0, offered - self.offered))
        self.offered = offered
        if not self.first:
            return False
        self.first -= 1
        return True


class GivenBack:
    """Deals again what workers give back.

    Args:
        listeners: those of the engine.
        log: told when connections are closed; must not wait.
        clock: seconds.
        most: how many of one worker may wait; ``None``: what the descriptors of this process allow.
    """

    def __init__(
        self, listeners: ServedListeners, log: Log, clock: Callable[[], float], most: int | None = None
    ) -> None:
        self._listeners = listeners
        self._log = log
        self._clock = clock
        self._most = share_of_descriptors(_SHARE) if most is None else most
        self._accounts: dict[int, _Account] = {}
        self._looked = 0.0

    def enough(self, end: OfferingEnd) -> int:
        """Return how many connections of this worker wait, if no further one should come now; 0: it may."""
        account = self._accounts.get(end.worker_id)
        if account is None or not self._is_enough(account):
            return 0
        self._look()
        return len(account.waiting) if self._is_enough(account) else 0

    def refused(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker gives a connection back, untouched; of a listener that is gone nobody serves it any more.

        Raises:
            FrameError: it was never handed that.
        """
        account = self._account(end, connection)
        goes_first = account.may_go_first(end.handed + account.refused)
        end.handed -= 1
        account.refused += 1
        listener = self._listeners.get(listener_id)
        if listener is None:
            close_connection(connection)
            return
        listener.dispatcher.full(end.worker_id)
        if self._may_wait(end, account, connection):
            (listener.dispatcher.put_back if goes_first else listener.dispatcher.add)(connection)
        listener.update()

    def routed(self, end: OfferingEnd, listener_id: int, connection: Connection) -> None:
        """The worker has read the head of a request on a connection, which belongs to another.

        Raises:
            FrameError: it was never handed that.
        """
        account = self._account(end, connection)
        account.routed += 1  # the worker itself counts it among those that have ended
        listener = self._listeners.get(listener_id)
        if listener is None or not listener.dispatcher.members:
            close_connection(connection)
        elif self._may_wait(end, account, connection):
            listener.dispatcher.add(connection)
            listener.update()

    def forget(self, worker_id: int) -> None:
        """A worker is gone."""
        self._accounts.pop(worker_id, None)

    def _account(self, end: OfferingEnd, connection: Connection) -> _Account:
        account = self._accounts.setdefault(end.worker_id, _Account())
        if end.handed <= account.routed:
            close_connection(connection)
            raise FrameError("a worker gave back more connections than it was handed")
        return account

    def _may_wait(self, end: OfferingEnd, account: _Account, connection: Connection) -> bool:
        """Whether one more of this worker may wait; it is closed otherwise."""
        if len(account.waiting) >= self._most:
            self._look()
        if len(account.waiting) >= self._most + self._most // 4:  # some have been dealt since the last look
            close_connection(connection)
            self._count_closed(end, account)
            return False
        account.waiting.add((connection.fd, connection.peer))
        return True

    def _is_enough(self, account: _Account) -> bool:
        if not account.waiting:
            return False
        of_all = sum(len(one.waiting) for one in self._accounts.values())
        return len(account.waiting) >= self._most or of_all >= _OF_ALL * self._most

    def _look(self) -> None:
        """Find out which still wait, now and then: that takes as long as many wait."""
        now = self._clock()
        if now - self._looked >= _FRESH_SECONDS:
            self._looked = now
            queues = (listener.dispatcher.queue for listener in self._listeners)
            waiting = {(one.fd, one.peer) for queue in queues for one in queue}
            for account in self._accounts.values():
                account.waiting &= waiting

    def _count_closed(self, end: OfferingEnd, account: _Account) -> None:
        account.closed += 1
        if account.closed & (account.closed - 1) == 0:  # the first, the second, the fourth, …
            self._log.warning(
                "%s connections were closed that worker %s gave back: %s others of it wait",
                *(account.closed, end.worker_id, self._most),
            )
