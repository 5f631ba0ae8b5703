"""How long the end of a failed test waits for a server that does not end, by the waits that it asks for."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace
from typing import Any

import pytest

from pytest_cluster.server.server_process import ServerProcess
from pytest_cluster.waiting import set_slow_factor

PROMISED_SECONDS = 1.0


class Stuck:
    """A server that hears its signals and goes on, asked with a clock that moves by nothing else than waits."""

    def __init__(self, *, requests: int) -> None:
        self.now = 0.0
        self.waits: list[float] = []
        self.heard: list[signal.Signals] = []
        self.killed_at: float | None = None
        self.process = SimpleNamespace(send_signal=self.heard.append, wait=self._wait)
        self.journal: Any = None
        self._has_requests = lambda: requests > 0

    def _wait(self, seconds: float) -> int:
        self.waits.append(seconds)
        self.now += seconds
        raise subprocess.TimeoutExpired("gunicorn", seconds)

    def _kill(self) -> None:
        self.killed_at = self.now


@pytest.fixture(autouse=True)
def factor_of_one() -> Iterator[None]:
    former = set_slow_factor(1.0)
    yield
    set_slow_factor(former)


def end_quickly(stuck: Stuck, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr("pytest_cluster.server.server_process.time", SimpleNamespace(monotonic=lambda: stuck.now))
    ServerProcess._end_quickly(stuck)  # type: ignore[arg-type]


def test_request_under_way_costs_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck(requests=1)
    end_quickly(stuck, monkeypatch)
    assert stuck.heard == [signal.SIGTERM, signal.SIGQUIT]
    assert stuck.killed_at is not None
    assert stuck.killed_at <= PROMISED_SECONDS


def test_end_without_requests_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not cut off for being slow on a busy machine; it ends all the same."""
    stuck = Stuck(requests=0)
    end_quickly(stuck, monkeypatch)
    assert stuck.heard == [signal.SIGTERM, signal.SIGQUIT]
    assert stuck.killed_at is not None
    assert stuck.killed_at > PROMISED_SECONDS
