"""What a server does a second, of two of its statuses."""

from __future__ import annotations

import copy
import math
from typing import Any

import pytest
from status_documents import made_status

from nodecluster_compat.ctl.top.rates import NO_RATES, DurationWindow, History, Rates

STATUS = made_status()


def later(status: dict[str, Any], seconds: float, requests: int = 0, failed: int = 0, slow: int = 0) -> dict[str, Any]:
    """The same server, after it has served a few."""
    status = copy.deepcopy(status)
    status["uptime"] += seconds
    status["totals"]["requests"] += requests
    status["totals"]["responses"]["5xx"] += failed
    status["totals"]["durations"]["counts"][0] += requests - slow
    status["totals"]["durations"]["counts"][3] += slow
    status["totals"]["durations"]["seconds"] += requests * 0.01
    status["workers"][0]["requests"] += requests
    status["workers"][0]["cpu_seconds"] += seconds / 2
    return status


def rates_of(*statuses: dict[str, Any]) -> Rates:
    history = History()
    return [history.add(status) for status in statuses][-1]


def test_rates_are_those_of_the_time_between_two_statuses() -> None:
    rates = rates_of(STATUS, later(STATUS, 2, requests=10, failed=1))
    assert (rates.requests, rates.failed, rates.cpu) == (5.0, 0.5, 0.5)
    assert rates.workers[1].requests == 5.0
    assert rates.workers[2].requests == 0.0
    assert rates.durations == DurationWindow((0.005, 0.1, 1.0), (10, 0, 0, 0), pytest.approx(0.1))


def test_worker_that_is_new_has_none_yet() -> None:
    second = later(STATUS, 2)
    second["workers"].append({**second["workers"][0], "id": 9})
    assert rates_of(STATUS, second).workers[9].requests is None


@pytest.mark.parametrize("change", [{"pid": 200}, {"uptime": 1.0}])
def test_another_server_begins_anew(change: dict[str, Any]) -> None:
    """So a new one, whose counts are smaller, has done nothing a second that is below 0."""
    assert rates_of(STATUS, later(STATUS, 2, requests=5), {**STATUS, **change}) == NO_RATES


def test_what_nobody_counts_is_not_known() -> None:
    first = copy.deepcopy(STATUS)
    first["totals"] |= {"requests": None, "responses": None, "durations": None}
    for worker in first["workers"]:
        worker |= {"requests": None, "cpu_seconds": None}
    second = {**copy.deepcopy(first), "uptime": 99.0}
    rates = rates_of(first, second)
    assert (rates.requests, rates.failed, rates.cpu, rates.durations) == (None, None, None, None)


def test_durations_are_those_of_the_last_minute() -> None:
    """What was counted longer ago has left."""
    history = History()
    status = STATUS
    for _ in range(100):
        status = later(status, 1, requests=1)
        history.add(status)
    rates = history.add(later(status, 1))
    assert rates.durations is not None
    assert sum(rates.durations.counts) == 59


def test_statuses_of_one_moment_make_no_rate() -> None:
    history = History()
    history.add(STATUS)
    told = history.add(later(STATUS, 2, requests=2))
    assert history.add(later(STATUS, 2.01, requests=900)) == told


def test_quantiles_are_bounds() -> None:
    window = DurationWindow((0.1, 0.5), (90, 9, 1), 7.0)
    assert [window.quantile(share) for share in (0.5, 0.9, 0.91, 0.99, 1.0)] == [0.1, 0.1, 0.5, 0.5, math.inf]
    assert window.mean == pytest.approx(0.07)
    none = DurationWindow((0.1,), (0, 0), 0.0)
    assert (none.quantile(0.5), none.mean) == (None, None)
