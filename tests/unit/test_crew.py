"""Bookkeeping: the registry by id and pid, the crew by generation, messages that wait."""

from __future__ import annotations

import logging
from dataclasses import dataclass

import pytest

from nodecluster_compat.crew import Crew
from nodecluster_compat.errors import InternalError
from nodecluster_compat.message_queue import MOST_BYTES, MOST_MESSAGES, MessageQueue
from nodecluster_compat.registry import Registry


@dataclass
class Handle:
    """What the crew and the registry look at."""

    id: int = 0
    state: str = "listening"
    is_leaving: bool = False


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


def crew_of(*handles: Handle) -> Crew:
    crew = Crew()
    for age, handle in enumerate(handles, 1):
        crew.add(age, 100 + age, handle)  # type: ignore[arg-type]
    return crew


def test_reload_starts_a_generation_and_retires_when_it_listens() -> None:
    """Missing first, then too many, oldest first."""
    new = Handle(3, state="online")
    crew = crew_of(Handle(1), Handle(2))
    crew.generation += 1
    assert crew.missing(2) == 2
    crew.add(3, 103, new)  # type: ignore[arg-type]
    crew.add(4, 104, Handle(4))  # type: ignore[arg-type]
    assert crew.to_retire(2) == [101]
    new.state = "listening"
    assert crew.to_retire(2) == [101, 102]


def test_leaving_worker_leaves_a_place() -> None:
    """A worker that was told to end, or said so, is replaced at once."""
    crew = crew_of(Handle(1), Handle(2))
    mate = crew.with_pid(101)
    assert mate is not None
    mate.told_to_end = True
    assert crew.missing(2) == 1
    assert [one.pid for one in crew.staying] == [102]


def test_stand_in_is_the_youngest_for_a_retired_worker_and_nobody_for_a_crash() -> None:
    """An exit handler's fork finds the successor of a retired worker, and the vacancy of a crashed one."""
    crew = crew_of(Handle(1, is_leaving=True), Handle(2), Handle(3))
    retired, crashed = crew.remove(101), crew.remove(102)
    assert retired is not None
    assert crashed is not None
    heir = crew.stand_in(retired)
    assert heir is not None
    assert heir.id == 3
    assert crew.stand_in(crashed) is None
    crew.generation += 1
    heir = crew.stand_in(crashed)
    assert heir is not None
    assert heir.id == 3


def test_worker_without_a_handle_counts_as_listening() -> None:
    """Another worker class after a reload."""
    crew = Crew()
    crew.add(1, 100, None)
    assert crew.to_retire(0) == [100]
    assert crew.missing(1) == 0


def test_queue_keeps_messages_in_order_up_to_its_bounds(caplog: pytest.LogCaptureFixture) -> None:
    """By number and by bytes; what is dropped is logged once."""
    queue = MessageQueue("a test", logging.getLogger("test"))
    for number in range(MOST_MESSAGES + 5):
        queue.keep(b"%d" % number)
    assert len(queue) == MOST_MESSAGES
    assert caplog.text.count("further ones are dropped") == 1
    assert (queue.take(), queue.take()) == (b"0", b"1")


def test_queue_keeps_one_large_message_and_counts_bytes() -> None:
    """The first is kept whatever its size; after that the bytes count."""
    queue = MessageQueue("a test", logging.getLogger("test"))
    queue.keep(bytes(MOST_BYTES + 1))
    queue.keep(b"x")
    assert len(queue) == 1
    assert queue.bytes_waiting == MOST_BYTES + 1
    queue.take()
    assert queue.take() is None
    assert queue.bytes_waiting == 0
