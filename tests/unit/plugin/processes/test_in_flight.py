"""How many requests a worker has, where an answer is read before the worker has counted it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.processes.worker import WorkerProxy
from pytest_cluster.session import ending
from pytest_cluster.session.ending import ends_of_test, requests_under_way
from pytest_cluster.wire import tallies
from pytest_cluster.wire.tallies import Tallies


def test_request_whose_answer_was_read_is_not_under_way(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """A busy machine lets the worker count it late: it is no reason for a slow end."""
    counted = Tallies(str(tmp_path / "tallies"))
    journal = SimpleNamespace(entries=(), latest=lambda *_: None)
    server: Any = SimpleNamespace(tallies=counted, journal=journal)
    worker = WorkerProxy(server, 1)
    monkeypatch.setattr(WorkerProxy, "pid", 7)
    cluster: Any = SimpleNamespace(is_closed=False, workers=[worker], options=SimpleNamespace(settings={}))
    monkeypatch.setattr(tallies, "poll", lambda *_: counted.end(1))

    counted.begin(1)
    assert requests_under_way(cluster).startswith("worker 1 (pid 7) had 1 request under way: a graceful end waits")
    counted.seen(1)
    assert (worker.tally.in_flight, requests_under_way(cluster)) == (1, "")


@pytest.mark.parametrize(("quick", "told"), [(False, 0), (True, 1)])
def test_request_that_is_counted_in_a_moment_is_no_reason_for_a_slow_end(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, quick: bool, told: int
) -> None:
    """Nobody here has seen the answer that another client has read; a failed test's end waits for nothing."""
    counted = Tallies(str(tmp_path / "tallies"))
    journal = SimpleNamespace(entries=(), latest=lambda *_: None, unchecked={})
    worker = WorkerProxy(SimpleNamespace(tallies=counted, journal=journal), 1)  # type: ignore[arg-type]
    monkeypatch.setattr(WorkerProxy, "pid", 7)
    cluster: Any = SimpleNamespace(
        is_closed=False,
        workers=[worker],
        options=SimpleNamespace(settings={}),
        ends_quickly=quick,
        journal=journal,
        primary=SimpleNamespace(end_was_told=True),
    )
    item: Any = SimpleNamespace(stash=pytest.Stash(), nodeid="test_it")
    monkeypatch.setattr(ending, "SLOW_END_SECONDS", -1.0)
    monkeypatch.setattr(ending, "poll", lambda *_: counted.end(1))
    slow: list[str] = []
    counted.begin(1)

    with ends_of_test(cluster, item, slow):
        pass

    assert len(slow) == told
