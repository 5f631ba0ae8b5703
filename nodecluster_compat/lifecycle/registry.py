"""Register the workers of a cluster by id.  Pure bookkeeping.

Ids start at 1, only grow, and are never used again, as in Node.  A worker
stays in :attr:`Registry.by_id` until it has both disconnected and exited (difference D9 in ``docs/differences.md``).
"""

from __future__ import annotations

from collections.abc import Mapping
from types import MappingProxyType
from typing import Generic, Protocol, TypeVar

from ..errors import InternalError

__all__ = ["Registry"]


class Registered(Protocol):
    """An entry, as the registry needs it."""

    @property
    def id(self) -> int:
        """The worker's id."""


W = TypeVar("W", bound=Registered)


class Registry(Generic[W]):
    """The workers that are known, by id."""

    __slots__ = ("_by_id", "_last_id", "by_id")

    def __init__(self) -> None:
        self._last_id = 0
        self._by_id: dict[int, W] = {}
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

    def remove(self, worker: W) -> None:
        """The worker is gone for good."""
        self._by_id.pop(worker.id, None)
