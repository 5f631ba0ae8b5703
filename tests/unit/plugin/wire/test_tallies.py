"""What a process that a request forks does to the counts of its worker, whose memory it shares: nothing."""

from __future__ import annotations

import os
import signal
from collections.abc import Callable
from pathlib import Path

import pytest

from pytest_cluster.wire.tallies import Tallies, Tally


def in_child(job: Callable[[], object]) -> int:
    """Do it in a forked child, and return how that has ended."""
    pid = os.fork()
    if pid == 0:
        code = 1
        try:
            job()
            code = 0
        finally:
            os._exit(code)
    return os.waitpid(pid, 0)[1]


@pytest.fixture
def counted(tmp_path: Path) -> Tallies:
    return Tallies(str(tmp_path / "tallies"))


def test_child_that_has_left_counts_nothing(counted: Tallies) -> None:
    """The request ends in both, and is the worker's."""
    counted.begin(1)

    def unwind() -> None:
        counted.leave()
        counted.end(1)
        counted.begin(1)

    assert in_child(unwind) == 0
    assert counted.of(1) == Tally(1, 0)
    counted.end(1)
    assert counted.of(1) == Tally(1, 1)


def test_child_that_has_left_waits_for_no_thread_of_its_worker(counted: Tallies) -> None:
    """One was counting when another one's request forked, and does not exist in the child."""

    def unwind() -> None:
        counted.leave()
        signal.alarm(20)  # so that a child that waits for ever ends
        counted.end(1)

    with counted._lock:
        assert in_child(unwind) == 0
