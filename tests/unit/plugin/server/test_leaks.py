"""How long processes of a cluster are waited for."""

from __future__ import annotations

from types import SimpleNamespace

import pytest

from pytest_cluster.server import leaks
from pytest_cluster.server.leaks import SessionMember, wait_cluster_empty


@pytest.mark.parametrize(("starved", "seconds"), [(0.0, 3), (0.5, 6), (1.0, 15)])
def test_wait_for_a_processor_is_not_the_time_of_a_process(
    monkeypatch: pytest.MonkeyPatch, starved: float, seconds: int
) -> None:
    """One that sleeps has its 3 seconds; one that gets half of a processor has 6; nobody has more than 15."""
    now = 0.0

    def sleep(_: float) -> None:
        nonlocal now
        now += 0.25

    monkeypatch.setattr(leaks, "time", SimpleNamespace(monotonic=lambda: now, sleep=sleep))
    monkeypatch.setattr(leaks, "cluster_members", lambda *_: [SessionMember(7, "sleeper")])
    monkeypatch.setattr(leaks, "_run_delay", lambda pid: 100 + now * starved)

    assert wait_cluster_empty(1, None, 3.0) == [SessionMember(7, "sleeper")]
    assert now == seconds


def test_process_that_ends_while_it_is_looked_at_is_waited_for(monkeypatch: pytest.MonkeyPatch) -> None:
    """Nothing is known of it then: neither that it has waited, nor that it has waited for less than before."""
    moments, delays = iter(range(100)), iter([9, 9, 0, 0])
    members = iter([[SessionMember(7, "")], [SessionMember(7, "")], []])
    monkeypatch.setattr(leaks, "time", SimpleNamespace(monotonic=lambda: next(moments), sleep=lambda _: None))
    monkeypatch.setattr(leaks, "cluster_members", lambda *_: next(members))
    monkeypatch.setattr(leaks, "_run_delay", lambda _: next(delays))

    assert wait_cluster_empty(1, None, 5.0) == []


@pytest.mark.parametrize(("schedstat", "seconds"), [("9000000000 4500000000 17\n", 4.5), ("", 0), ("nonsense", 0)])
def test_time_that_a_process_has_waited_for_a_processor(
    monkeypatch: pytest.MonkeyPatch, schedstat: str, seconds: float
) -> None:
    monkeypatch.setattr(leaks, "_read", lambda *_: schedstat)
    assert leaks._run_delay(7) == seconds


def test_process_that_is_not_there_has_waited_for_nothing() -> None:
    assert leaks._run_delay(0) == 0
