"""The registry: workers by id and by pid."""

from __future__ import annotations

from dataclasses import dataclass

import pytest

from nodecluster_compat.errors import InternalError
from nodecluster_compat.lifecycle.registry import Registry


@dataclass
class Handle:
    """What the registry looks at."""

    id: int = 0


def test_registry_knows_workers_by_id_and_by_pid() -> None:
    """Ids only grow; a removed worker is gone under both names."""
    registry: Registry[Handle] = Registry()
    first, second = Handle(registry.next_id()), Handle(registry.next_id())
    assert (first.id, second.id) == (1, 2)
    registry.add(first)
    registry.started(first, 100)
    assert registry.with_pid(100) is first
    assert dict(registry.by_id) == {1: first}
    with pytest.raises(InternalError):
        registry.add(first)
    registry.remove(first, 100)
    assert registry.with_pid(100) is None
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
    registry.remove(worker, None)
    assert dict(view) == {}


def test_worker_without_a_process_is_known_by_id_only() -> None:
    """Between ``fork()`` and the process there is no pid."""
    registry: Registry[Handle] = Registry()
    worker = Handle(registry.next_id())
    registry.add(worker)
    assert registry.with_pid(0) is None
    registry.remove(worker, None)
    registry.remove(worker, None)
    assert dict(registry.by_id) == {}


def test_pid_that_is_used_again_belongs_to_the_new_worker() -> None:
    """The kernel may give a dead worker's pid to the next one."""
    registry: Registry[Handle] = Registry()
    old, new = Handle(registry.next_id()), Handle(registry.next_id())
    for worker in (old, new):
        registry.add(worker)
    registry.started(old, 100)
    registry.remove(old, 100)
    registry.started(new, 100)
    assert registry.with_pid(100) is new


def test_id_of_a_removed_worker_is_never_used_again() -> None:
    """Ids only grow, whatever was removed."""
    registry: Registry[Handle] = Registry()
    seen = []
    for _ in range(3):
        worker = Handle(registry.next_id())
        registry.add(worker)
        registry.remove(worker, None)
        seen.append(worker.id)
    assert seen == [1, 2, 3]
