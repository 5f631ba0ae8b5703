"""The status: what is a change, and what it says of a cluster's life."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import pytest

from nodecluster_compat.connections.queue_watch import QueueStatus
from nodecluster_compat.roles.status import ClusterStatus, Durations, ListenerStatus, Totals, WorkerStatus

WORKER = WorkerStatus(1, 8, "listening", "ok", 0.0, slot=1, started_at="then")
STATUS = ClusterStatus(7, "running", 2, 1, 1, 0, 0, (WORKER,), QueueStatus(0, 0, 0), 0, None, None, None)


def with_worker(**changes: Any) -> ClusterStatus:
    return replace(STATUS, workers=(replace(WORKER, **changes),))


@pytest.mark.parametrize(
    "later",
    [
        replace(STATUS, now="later", uptime=3.0, next_attempt_in=1.0),
        replace(STATUS, totals=Totals(requests=9, connections=3, durations=Durations((1.0,), (9, 0), 0.5))),
        with_worker(requests=7, active_requests=1, oldest_request_seconds=0.1, rss_bytes=1 << 20, cpu_seconds=1.0),
        with_worker(age=4.0, listening_for=3.0, connections=2),
    ],
)
def test_what_changes_by_itself_is_no_change(later: ClusterStatus) -> None:
    assert later != STATUS
    assert later.lasting == STATUS.lasting


@pytest.mark.parametrize(
    "later",
    [
        replace(STATUS, state="degraded"),
        replace(STATUS, totals=Totals(exits={"crash": 1})),
        replace(STATUS, listeners=(ListenerStatus("127.0.0.1:1", 0, 5),)),
        with_worker(health="blocked"),
        with_worker(is_leaving=True),
    ],
)
def test_what_has_happened_is_a_change(later: ClusterStatus) -> None:
    assert later.lasting != STATUS.lasting


def test_backlog_alone_is_no_change() -> None:
    one, two = (replace(STATUS, listeners=(ListenerStatus("127.0.0.1:1", count, 5),)) for count in (0, 3))
    assert one.lasting == two.lasting


def test_server_is_live_unless_its_workers_keep_failing_and_none_serves() -> None:
    assert STATUS.is_live
    assert replace(STATUS, state="degraded").is_live
    assert not replace(STATUS, state="degraded", listening=0).is_live
    assert replace(STATUS, state="starting", listening=0).is_live


def test_server_is_ready_while_a_worker_serves_whose_loop_turns() -> None:
    assert STATUS.is_ready
    assert not replace(STATUS, state="stopping").is_ready
    for changes in ({"health": "blocked"}, {"health": "stopped"}, {"is_leaving": True}, {"state": "online"}):
        assert not with_worker(**changes).is_ready
    assert replace(STATUS, mode="script", workers=()).is_ready
