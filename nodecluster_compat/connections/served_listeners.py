"""Keep the listeners of one dealer, each with the policy that it is dealt by and what it looks at.

Called with the lock of the loop held, as the engine that they belong to.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterator, Mapping
from typing import TYPE_CHECKING, Protocol

from ..base.log import Log
from ..base.records import Connection, ServedAddress
from .counted import CountedWorkers
from .dealing_loop import DealingLoop
from .handed import close_connection
from .listener import Listener
from .offers import OfferingEnd
from .policies import BUILT_IN, Function, GuardedPolicy, Policy, PolicyFactory, RoundRobin

if TYPE_CHECKING:
    from .policy_thread import PolicyThread

__all__ = ["Offers", "ServedListeners"]


class Offers(Protocol):
    """Offers connections to workers."""

    def deliver(self, listener_id: int, worker_id: int, connection: Connection) -> bool:
        """Offer a connection of a listener to a worker; ``False``: the worker is out of reach."""

    def find_idle(self) -> None:
        """Find out what workers have taken."""

    def accept_for(self, listener: Listener) -> None:
        """Called with a listener before anything has come."""


class ServedListeners:
    """The listeners, by their numbers.

    Args:
        loop: the dealer's.
        log: told when accepting has to pause; must not wait.
        make_policy: makes the policy of each listener; given what it may know of workers.
        limit: bound of the accepted connections that wait, for each listener.
        ends: of the workers, by their ids.

    Attributes:
        by_id: themselves.
        round_robin: the numbers of those that are dealt round robin.
        count_ended: says how many of the connections that a worker had have ended, by its own count.
        number_of_ended: returns how C may read that of a worker; ``None``: it may not.
        client_of: says for which client (its address) a proxy speaks whose bytes have come; ``None``: nobody looks.
        look: says to which worker (its id) the bytes belong that have come of a new connection, 0 for anybody;
            ``None``: nobody looks.
    """

    def __init__(
        self,
        loop: DealingLoop,
        log: Log,
        make_policy: PolicyFactory,
        limit: int,
        ends: Mapping[int, OfferingEnd],
    ) -> None:
        self._loop = loop
        self._log = log
        self._make_policy = make_policy
        self._limit = limit
        self._ends = ends
        self._last_id = 0
        self._looking: set[int] = set()  # workers that route
        self.by_id: dict[int, Listener] = {}
        self.round_robin: set[int] = set()
        self.count_ended: Callable[[int], int] = lambda _: 0
        self.number_of_ended: Callable[[int], object] = lambda _: None
        self.look: Callable[[bytes], int] | None = None
        self.client_of: Callable[[bytes], str | None] | None = None

    def __iter__(self) -> Iterator[Listener]:
        return iter(self.by_id.values())

    def __len__(self) -> int:
        return len(self.by_id)

    def __getitem__(self, listener_id: int) -> Listener:
        return self.by_id[listener_id]

    def get(self, listener_id: int) -> Listener | None:
        """Return a listener, if it is still served."""
        return self.by_id.get(listener_id)

    def next_id(self) -> int:
        """Return a number that no listener has or will have."""
        self._last_id += 1
        return self._last_id

    def is_known(self, listener_id: int) -> bool:
        """Whether there is, or was, such a listener."""
        return 0 < listener_id <= self._last_id

    def add(self, sock: _socket.socket, family: int, offers: Offers) -> ServedAddress:
        """Serve a listening socket: its connections go to the workers that join it.

        Args:
            sock: listens.
            family: of its address.
            offers: offers to workers what is accepted.
        """
        served = ServedAddress(self.next_id(), family, sock.getsockname())
        self.by_id[served.listener_id] = listener = Listener(
            sock, served, self._loop, self._log, RoundRobin(), offers.deliver, offers.find_idle, self._limit
        )
        offers.accept_for(listener)
        self._give_policy(listener)
        self.tell_to_look()
        return served

    def remove(self, listener_id: int) -> None:
        """Accept no more on this listener and reset what waits: nobody serves it any more."""
        self.by_id.pop(listener_id).close()
        self.round_robin.discard(listener_id)

    def put_back(self, worker_id: int, listener_id: int, connection: Connection) -> None:
        """A worker did not take what it was offered: it goes to others, before all that came later."""
        listener = self.by_id.get(listener_id)
        if listener is None:  # nobody serves it any more
            close_connection(connection)
        else:
            listener.dispatcher.put_back(connection, worker_id)
            listener.update()

    def in_turn(self, last: int) -> list[Listener]:
        """Return them in the order in which they may offer to a worker: the one that did last comes last."""
        if len(self.by_id) < 2:
            return list(self.by_id.values())
        return sorted(self, key=lambda listener: listener.served.listener_id <= last)

    # --- policies ------------------------------------------------------------------------------

    def use_policy(self, make_policy: PolicyFactory) -> None:
        """Deal by another policy from now on, on all listeners."""
        self._make_policy = make_policy
        for listener in self:
            self._give_policy(listener)

    def _give_policy(self, listener: Listener) -> None:
        if listener.policy_thread is not None:
            listener.policy_thread.close()
            listener.policy_thread = None
        policy = self._policy_of(listener)
        listener.needs_all_idle = type(policy) is not RoundRobin
        if listener.needs_all_idle:
            self.round_robin.discard(listener.served.listener_id)
        else:
            self.round_robin.add(listener.served.listener_id)
        if type(policy) not in BUILT_IN:  # those cannot fail, and are asked for each connection
            policy = GuardedPolicy(policy, self._log)
        listener.dispatcher.use_policy(policy)

    def _policy_of(self, listener: Listener) -> Policy:
        dispatcher = listener.dispatcher

        def answered(connection: Connection, worker_id: int | None) -> None:
            dispatcher.answered(connection, worker_id)
            listener.update()

        def make_thread(function: Function) -> PolicyThread:
            from .policy_thread import PolicyThread

            listener.policy_thread = PolicyThread(function, self._loop, answered, self._log)
            return listener.policy_thread

        return self._make_policy(
            CountedWorkers(lambda: dispatcher.members, self._ends, self._ended_of, make_thread, self._loop.clock)
        )

    def _ended_of(self, worker_id: int) -> int:
        return self.count_ended(worker_id)

    # --- looks ---------------------------------------------------------------------------------

    def looks(self, worker_id: int) -> None:
        """The worker routes: look at connections from now on, before they are dealt."""
        self._looking.add(worker_id)
        self.tell_to_look()

    def looks_no_more(self, worker_id: int) -> None:
        """The worker is gone."""
        self._looking.discard(worker_id)
        self.tell_to_look()

    def tell_to_look(self) -> None:
        """Let the listeners look at what has come of a connection, or leave that alone."""
        look = self.look if self._looking else None
        is_quick = look is not None and getattr(look, "is_quick", False)
        for listener in self:
            listener.look, listener.client_of, listener.has_quick_look = look, self.client_of, is_quick
