"""How many requests a worker has, where an answer is read before the worker has counted it."""

from __future__ import annotations

from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.processes.worker import WorkerProxy
from pytest_cluster.session.ending import requests_under_way
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
