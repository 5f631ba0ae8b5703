"""Seat the managers of this process in groups of the sharing: one seat for each channel, however many share it.

A seat puts what other workers post into the queue of each manager that listens, and tells local managers what another
manager of this process has to say, as a Redis server would.  In a process that is no worker there are no seats, and
managers speak to nobody but their own clients.
"""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import AbstractContextManager
from typing import TYPE_CHECKING, TypeAlias

from msgspec import Struct

from ..roles.cluster import cluster
from ..sharing.group_desk import ALL_OTHERS
from ..sharing.this_process import sharing

if TYPE_CHECKING:
    from ..roles.this_worker import ClusterWorker
    from ..roles.worker_runtime import Runtime
    from ..sharing.groups import Group, Posted

__all__ = ["Envelope", "GroupSeat", "Put", "seat_of"]


class Envelope(Struct, gc=False):
    """A message that a manager was told.

    Attributes:
        sender: the id of the worker that posted it.
        body: encoded.
        readers: how many managers of this process have not read it; 0 where nobody counts.
        members: who the other workers are from here on, instead of something told: in its place among what they told.
    """

    sender: int
    body: bytes
    readers: int = 0
    members: frozenset[int] | None = None


Put: TypeAlias = Callable[[Envelope], None]


class GroupSeat:
    """The managers of one channel in this worker.

    Args:
        worker: this one.
        channel: the name that they share.

    Attributes:
        worker_id: of this worker.
        memory: what its managers remember together, where one of them recovers clients; see ``recovery``.
    """

    def __init__(self, worker: ClusterWorker, channel: str) -> None:
        self.worker_id = worker.id
        self.memory: object = None
        self._readers: list[Put] = []
        self._has_heard = False
        self._group: Group = sharing.groups.join(f"socketio:{channel}", self._posted, self._members_changed)

    @property
    def lock(self) -> AbstractContextManager[object]:
        """Held while readers are called."""
        return self._group.lock

    @property
    def runtime(self) -> Runtime:
        """The runtime of this worker."""
        return self._group.runtime

    def attach(self, put: Put, former: Put | None = None) -> None:
        """Let a manager listen.

        Args:
            put: takes an envelope without waiting.
            former: of the same manager, which reads no more by it.
        """
        with self.lock:
            self._readers = [one for one in self._readers if one is not former]
            self._readers.append(put)
            if self._has_heard:
                put(Envelope(self.worker_id, b"", members=self._group.members))

    def post(self, body: bytes, target: int, own: Put | None) -> None:
        """Tell a worker, or all: also the other managers of this process.

        Args:
            body: encoded.
            target: the id of a worker, or ``ALL_OTHERS``.
            own: of the manager that posts.
        """
        self.wait_for(self.begin_post(body, target, own))

    async def post_async(self, body: bytes, target: int, own: Put | None) -> None:
        """As :meth:`post`, for tasks."""
        await self.wait_for_async(self.begin_post(body, target, own))

    def begin_post(self, body: bytes, target: int, own: Put | None) -> Posted | None:
        """As :meth:`post`, without waiting; return what to wait for, if anything."""
        posted = None if target == self.worker_id else self._group.begin_post(body, target)
        self._tell_neighbours(body, target, own)
        return posted

    def wait_for(self, posted: Posted | None) -> None:
        """Wait until something is written, if the caller may wait."""
        self._group.wait_for(posted)

    async def wait_for_async(self, posted: Posted | None) -> None:
        """As :meth:`wait_for`, for tasks."""
        await self._group.wait_for_async(posted)

    def took(self, envelope: Envelope) -> None:
        """A manager has read an envelope."""
        if envelope.readers:
            envelope.readers -= 1
            if not envelope.readers:
                self._group.took(envelope.body)

    def _tell_neighbours(self, body: bytes, target: int, own: Put | None) -> None:
        if target in (ALL_OTHERS, self.worker_id):
            for put in self._readers:
                if put is not own:
                    put(Envelope(self.worker_id, body))

    def _posted(self, sender: int, body: bytes) -> None:
        envelope = Envelope(sender, body, len(self._readers))
        if not self._readers:
            self._group.took(body)
        for put in self._readers:
            put(envelope)

    def _members_changed(self, members: frozenset[int]) -> None:
        self._has_heard = True
        for put in self._readers:
            put(Envelope(self.worker_id, b"", members=members))


_seats: dict[tuple[int, str], GroupSeat] = {}


def seat_of(channel: str) -> GroupSeat | None:
    """Return the seat of a channel in this process; ``None`` where this process is no worker of a cluster."""
    worker = cluster.worker
    if worker is None:
        return None
    key = os.getpid(), channel
    if key not in _seats:
        _seats[key] = GroupSeat(worker, channel)
    return _seats[key]
