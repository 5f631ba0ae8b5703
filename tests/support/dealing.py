"""Play the workers of a dispatcher: what they were offered, and what they do with it."""

from __future__ import annotations

from nodecluster_compat.base.records import Connection
from nodecluster_compat.connections.dispatcher import Dispatcher
from nodecluster_compat.connections.policies import Policy

__all__ = ["Dealt"]


class Dealt:
    """A dispatcher whose deliveries and releases are written down.

    Args:
        policy: of the dispatcher.
        limit: of those that wait.
    """

    def __init__(self, policy: Policy, limit: int) -> None:
        self.offers: list[tuple[int, int]] = []
        self.held: dict[int, Connection] = {}
        self.released: list[int] = []
        self.out_of_reach: set[int] = set()
        self.gone: set[int] = set()
        self.looked_at: list[int] = []
        self.dispatcher = Dispatcher(
            policy, self.deliver, lambda one: self.released.append(one.fd), limit, self.is_gone
        )

    def is_gone(self, connection: Connection) -> bool:
        self.looked_at.append(connection.fd)
        return connection.fd in self.gone

    def deliver(self, worker_id: int, connection: Connection) -> bool:
        if worker_id in self.out_of_reach:
            return False
        assert worker_id not in self.held, "a second offer for a worker that has not taken the first"
        self.offers.append((worker_id, connection.fd))
        self.held[worker_id] = connection
        return True

    def add(self, *fds: int) -> None:
        for fd in fds:
            self.dispatcher.add(Connection(fd, ""))

    def waiting(self) -> list[int]:
        return [one.fd for one in self.dispatcher.queue]

    def join(self, *worker_ids: int) -> None:
        """They serve, and are idle unless something was offered to them."""
        for worker_id in worker_ids:
            self.dispatcher.join(worker_id)
            self.become_idle(worker_id)

    def become_idle(self, worker_id: int) -> None:
        if worker_id not in self.held:
            self.dispatcher.idle(worker_id)

    def taken(self, worker_id: int) -> None:
        """The worker has taken its offer."""
        self.held.pop(worker_id, None)
        self.dispatcher.idle(worker_id)

    def refused(self, worker_id: int) -> None:
        """The worker gives its connection back."""
        connection = self.held.pop(worker_id)
        self.dispatcher.full(worker_id)
        self.dispatcher.put_back(connection)
        self.become_idle(worker_id)

    def has_room(self, worker_id: int) -> None:
        self.dispatcher.has_room(worker_id)
        self.become_idle(worker_id)

    def leave(self, worker_id: int) -> None:
        self.dispatcher.leave(worker_id)

    def lost(self, worker_id: int) -> None:
        """The worker is gone: its offer is taken back."""
        self.dispatcher.leave(worker_id)
        connection = self.held.pop(worker_id, None)
        if connection is not None:
            self.dispatcher.put_back(connection)
