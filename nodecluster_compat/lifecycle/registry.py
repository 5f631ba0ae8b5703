"""Who exists: the workers by id and by pid.  Pure bookkeeping.

Ids start at 1, only grow, and are never used again (``reference/node-cluster-spec`` §1.3).  A worker
stays in :attr:`Registry.by_id` until it has both disconnected and exited (difference D9).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from ..errors import InternalError

__all__ = ["Registry"]


class Registered(Protocol):
    """What the registry asks of its entries."""

    @property
    def id(self) -> int:
        """The worker's id."""


W = TypeVar("W", bound=Registered)


class Registry(Generic[W]):
    """The workers that are known, under their two names."""

    __slots__ = ("_by_id", "_by_pid", "_last_id", "by_id")

    def __init__(self) -> None:
        self._last_id = 0
        self._by_id: dict[int, W] = {}
        self._by_pid: dict[int, W] = {}
        self.by_id: Mapping[int, W] = MappingProxyType(self._by_id)

    def next_id(self) -> int:
        """Return an id that no worker has had."""
        self._last_id += 1
        return self._last_id

    def add(self, worker: W) -> None:
        """The worker exists from now on."""
        if worker.id in self._by_id:
            raise InternalError(f"worker {worker.id} is registered twice")
        self._by_id[worker.id] = worker

    def started(self, worker: W, pid: int) -> None:
        """The worker has a process."""
        self._by_pid[pid] = worker

    def with_pid(self, pid: int) -> W | None:
        """Return the worker of a process, or ``None`` when it is not one of ours."""
        return self._by_pid.get(pid)

    def remove(self, worker: W, pid: int | None) -> None:
        """The worker is gone for good."""
        self._by_id.pop(worker.id, None)
        if pid is not None:
            self._by_pid.pop(pid, None)
