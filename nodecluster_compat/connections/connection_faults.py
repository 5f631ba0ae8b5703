"""Delay, reorder or drop the connections that a worker was dealt, for tests.

Only a process under test ever has such faults, and only from when a test asks for one: see
:mod:`nodecluster_compat.under_test`.  A connection that is held is on its way still, as if it lay in a channel that is
slow: the worker does not count it, and gives it back when it leaves before it has come.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterable
from functools import partial
from itertools import count
from typing import Protocol, TypeAlias

from ..machine.forked_child import keep_from_children

__all__ = ["ConnectionFaults", "OnTheirWay", "Take"]

Take: TypeAlias = Callable[[int, int, int], object]
"""Given the listener's id, the descriptor of a connection, and that of what another worker has read of it or -1."""


class ConnectionFaults(Protocol):
    """A fault of connections: decides what happens to each on its way."""

    def __call__(self, step: str, pass_on: Callable[[], None], lose: Callable[[], None]) -> None:
        """Take a connection: call ``pass_on`` or ``lose``, now, or later in the loop with the lock held.

        Args:
            step: ``connection``.
            pass_on: lets it come; does nothing when the worker has left meanwhile.
            lose: closes it, and its client sees the end.
        """


class OnTheirWay:
    """The connections of one worker that have not come yet.

    Args:
        faults: decide of each when it comes, and whether.
        come: takes those that come.
        give_back: takes those that cannot come any more.
        on_lost: called for each that is lost.
    """

    def __init__(self, faults: ConnectionFaults, come: Take, give_back: Take, on_lost: Callable[[], None]) -> None:
        self._faults = faults
        self._come = come
        self._give_back = give_back
        self._on_lost = on_lost
        self._numbers = count(1)
        self._connections: dict[int, tuple[int, int, int]] = {}
        keep_from_children(self)

    def take(self, listener_id: int, fd: int, head: int) -> None:
        """Leave a connection to the faults."""
        number = next(self._numbers)
        self._connections[number] = (listener_id, fd, head)
        self._faults("connection", partial(self._pass_on, number), partial(self._lose, number))

    def give_back(self) -> None:
        """The worker leaves: none of them comes any more."""
        while self._connections:
            self._give_back(*self._connections.popitem()[1])

    def inherited_fds(self) -> Iterable[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        return [fd for _, *fds in self._connections.values() for fd in fds]

    def _pass_on(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is not None:
            self._come(*connection)

    def _lose(self, number: int) -> None:
        connection = self._connections.pop(number, None)
        if connection is None:
            return
        _, fd, head = connection
        _socket.close(fd)
        if head >= 0:
            _socket.close(head)
        self._on_lost()
