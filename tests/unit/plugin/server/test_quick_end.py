"""How long the end of a failed test waits for a server that does not end, by the waits that it asks for."""

from __future__ import annotations

import signal
import subprocess
from collections.abc import Iterator
from types import SimpleNamespace

import pytest

from pytest_cluster.server import quick_end
from pytest_cluster.waiting import set_slow_factor

PROMISED_SECONDS = 1.0


class Stuck:
    """A server that hears its signals and goes on, asked with a clock that moves by nothing else than waits."""

    def __init__(self) -> None:
        self.now = 0.0
        self.heard: list[signal.Signals] = []

    def send_signal(self, which: signal.Signals) -> None:
        self.heard.append(which)

    def wait(self, seconds: float) -> int:
        self.now += seconds
        raise subprocess.TimeoutExpired("gunicorn", seconds)


class Obedient(Stuck):
    """One that ends by its second signal."""

    def wait(self, seconds: float) -> int:
        return 0 if len(self.heard) == 2 else super().wait(seconds)


@pytest.fixture(autouse=True)
def factor_of_one() -> Iterator[None]:
    former = set_slow_factor(1.0)
    yield
    set_slow_factor(former)


def ended(stuck: Stuck, monkeypatch: pytest.MonkeyPatch, *, requests: int) -> bool:
    monkeypatch.setattr(quick_end, "time", SimpleNamespace(monotonic=lambda: stuck.now))
    return quick_end.end_quickly(stuck, lambda: requests > 0)  # type: ignore[arg-type]


def test_request_under_way_costs_a_second_at_most(monkeypatch: pytest.MonkeyPatch) -> None:
    stuck = Stuck()
    assert not ended(stuck, monkeypatch, requests=1)
    assert stuck.heard == [signal.SIGTERM, signal.SIGQUIT]
    assert stuck.now <= PROMISED_SECONDS


def test_end_without_requests_has_more_time(monkeypatch: pytest.MonkeyPatch) -> None:
    """It is not cut off for being slow on a busy machine; it ends all the same."""
    stuck = Stuck()
    assert not ended(stuck, monkeypatch, requests=0)
    assert stuck.heard == [signal.SIGTERM, signal.SIGQUIT]
    assert stuck.now > PROMISED_SECONDS


def test_it_ends_by_one_of_its_signals(monkeypatch: pytest.MonkeyPatch) -> None:
    obedient = Obedient()
    assert ended(obedient, monkeypatch, requests=1)
    assert obedient.now <= PROMISED_SECONDS
