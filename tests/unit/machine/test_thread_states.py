"""What all threads of a process did; tests/processes has real ones."""

from __future__ import annotations

from nodecluster_compat.machine.thread_states import seconds_all_ran


def test_nobody_has_not_run() -> None:
    """The id of a worker that has no process yet."""
    assert seconds_all_ran(0) == 0
