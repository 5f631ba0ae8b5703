"""Define what a dealing policy is: the choice of a worker for each connection.

The dispatcher owns the workers' states and the queues; a policy owns only the choice.  It is called for every
connection, so each method should cost little.  A policy may choose among the idle workers only, as round robin does, or
*name* a worker for reasons of its own (its client was there before): then the connection waits for that worker if it is
busy.
"""

from __future__ import annotations

from collections.abc import Callable, Collection
from dataclasses import dataclass
from typing import Any, Final, Protocol, TypeAlias

from ...base.records import Connection, PeerAddress

__all__ = [
    "ANYBODYS",
    "ASKED",
    "BUILT_IN",
    "AskedFunction",
    "Function",
    "IdleLine",
    "Policy",
    "PolicyFactory",
    "WorkerView",
    "Workers",
]

ASKED: Final = -1
"""What a policy chooses that cannot say yet: it will call ``Dispatcher.answered``."""

ANYBODYS: Final = -2
"""The ``target`` of a connection of which such a policy has said that anybody will do."""


@dataclass(frozen=True, slots=True)
class WorkerView:
    """A worker as a program's policy sees it.

    Attributes:
        id: never used again.
        slot: its place, from 1; whoever replaces it has the same.
        connections: that it has now.
    """

    id: int
    slot: int
    connections: int


Function: TypeAlias = "Callable[[PeerAddress, list[WorkerView]], Any]"
"""A program's policy: called with a client's address and the workers that serve; returns the id of one, or ``None``."""


class AskedFunction(Protocol):
    """Asks a program's function somewhere else, so that it holds up nobody."""

    @property
    def is_silent(self) -> bool:
        """Whether it answers no more."""

    def ask(self, connection: Connection, workers: list[WorkerView]) -> None:
        """Find out who gets a connection; the answer goes to the dispatcher."""


class Workers(Protocol):
    """Answers what a policy may ask about the workers of its listener."""

    def serving(self) -> Collection[int]:
        """Return the ids of the workers that serve, idle or not."""

    def slot(self, worker_id: int) -> int:
        """Return the place of a worker, from 1: whoever replaces it has the same."""

    def connections(self, worker_id: int) -> int:
        """Return how many connections a worker has: counted when they are handed over, and when they have ended."""

    def asked(self, function: Function) -> AskedFunction:
        """Return what asks ``function`` beside dealing, for the dispatcher of this listener."""


class Policy(Protocol):
    """Chooses a worker.  Pure: no sockets, no clock, no knowledge of processes."""

    def add(self, worker_id: int) -> None:
        """The worker is idle and may be chosen from now on; known ones are ignored."""

    def remove(self, worker_id: int) -> None:
        """The worker is not idle any more, or does not serve; unknown workers are ignored."""

    def choose(self, connection: Connection) -> int | None:
        """Return the worker for ``connection``, ``None`` to let it wait for anybody, :data:`ASKED` to say it later.

        An idle worker gets the connection at once, and is not idle any more: the policy forgets it here.  For a busy
        one the connection waits.  In place of one that does not serve anybody else will do.
        """


PolicyFactory: TypeAlias = Callable[[Workers], Policy]
"""Makes the policy of one listener."""


BUILT_IN: Final[dict[type[object], int]] = {}
"""The policies that run nothing of a program, once they are imported, and the numbers of their twins in C."""


class IdleLine:
    """The idle workers in the order in which they became so: what our policies choose from.

    C reads and changes the same line (``native/choosing.c``).
    """

    __slots__ = ("_idle",)

    def __init_subclass__(cls, *, twin: int) -> None:
        """A policy has such a twin in C."""
        BUILT_IN[cls] = twin

    def __init__(self) -> None:
        # A dict is an ordered set with O(1) removal from the middle.
        self._idle: dict[int, None] = {}

    def add(self, worker_id: int) -> None:
        """Put the worker at the end of the line, unless it already stands in it."""
        self._idle.setdefault(worker_id)

    def remove(self, worker_id: int) -> None:
        """Take the worker out of the line."""
        self._idle.pop(worker_id, None)

    def first(self) -> int | None:
        """Take the worker out that has waited longest, and return it; ``None`` when nobody is idle."""
        for worker_id in self._idle:
            del self._idle[worker_id]
            return worker_id
        return None
