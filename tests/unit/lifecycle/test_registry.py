"""The registry: workers by id."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nodecluster_compat.errors import InternalError
from nodecluster_compat.lifecycle.registry import Registry


@dataclass
class Handle:
    """What the registry looks at."""

    id: int = 0


def test_registry_knows_workers_by_id() -> None:
    """Ids only grow; a removed worker is gone, and removing it again is a no-op."""
    registry: Registry[Handle] = Registry()
    first, second = Handle(registry.next_id()), Handle(registry.next_id())
    assert (first.id, second.id) == (1, 2)
    registry.add(first)
    assert dict(registry.by_id) == {1: first}
    with pytest.raises(InternalError):
        registry.add(first)
    registry.remove(first)
    registry.remove(first)
    assert dict(registry.by_id) == {}
    assert registry.next_id() == 3


def test_view_by_id_is_live_and_read_only() -> None:
    """One mapping for good: users see changes and cannot make any."""
    registry: Registry[Handle] = Registry()
    view = registry.by_id
    worker = Handle(registry.next_id())
    registry.add(worker)
    assert view[1] is worker
    with pytest.raises(TypeError):
        view[2] = worker  # type: ignore[index]
    registry.remove(worker)
    assert dict(view) == {}


def test_id_of_a_removed_worker_is_never_used_again() -> None:
    """Ids only grow, whatever was removed."""
    registry: Registry[Handle] = Registry()
    seen = []
    for _ in range(3):
        worker = Handle(registry.next_id())
        registry.add(worker)
        registry.remove(worker)
        seen.append(worker.id)
    assert seen == [1, 2, 3]
