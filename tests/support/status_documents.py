"""Make the status of a server that there is not, as its document has it."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import Any

from nodecluster_compat.connections.queue_watch import QueueStatus
from nodecluster_compat.lifecycle.rollout import ReloadReport
from nodecluster_compat.operations.status_document import document_of
from nodecluster_compat.roles.status import (
    ClusterStatus,
    Durations,
    ListenerStatus,
    Totals,
    WorkerExit,
    WorkerStatus,
)

__all__ = ["made_status", "uncounted_status"]


def made_status() -> dict[str, Any]:
    """Return the status of a server with three workers, one that has crashed before, and sixty requests answered."""
    workers = tuple(
        WorkerStatus(number, 100 + number, "listening", "ok", 0.1 * number, number, 1, age=9.0, requests=10 * number,
                     active_requests=number, oldest_request_seconds=0.5, connections=3, rss_bytes=number << 25,
                     cpu_seconds=1.0)
        for number in (1, 2, 3)
    )  # fmt: skip
    ended = WorkerExit(9, 2, 99, 0, "2026-11-29T00:03:44.000+00:00", 1.6, 3, None, "crash",
                       "exited with code 3 while booting", last_words=("ModuleNotFoundError",))  # fmt: skip
    durations = Durations((0.005, 0.1, 1.0), (50, 10, 0, 0), 1.0)
    responses = {"2xx": 55, "5xx": 5}
    totals = Totals(4, {"crash": 1, "asked": 0}, 60, responses, 7, durations, {"succeeded": 1, "failed": 0})
    status = ClusterStatus(
        pid=100, state="running", target=3, listening=3, booting=0, ending=0, generation=1, workers=workers,
        queue=QueueStatus(0, 1, 2), faults=1, last_fault="exited with code 3 while booting",
        reload=ReloadReport(1, "succeeded", seconds=0.4), upgrade=None, started_at="2026-11-29T00:03:00.000+00:00",
        now="2026-11-29T00:04:00.000+00:00", uptime=60.0, listeners=(ListenerStatus("127.0.0.1:80", 0, 2048),),
        totals=totals, exits=(ended,),
    )  # fmt: skip
    made: dict[str, Any] = json.loads(json.dumps({**document_of(status), **asdict(status)}))
    return {**made, "hostname": "shop-1"}


def uncounted_status() -> dict[str, Any]:
    """Return the same of a server in which nobody counts, of which one worker is about to be forked."""
    status = made_status()
    counted = ("requests", "active_requests", "oldest_request_seconds", "connections", "rss_bytes", "cpu_seconds")
    for worker in status["workers"]:
        worker.update(dict.fromkeys(counted))
    status["workers"][0] |= {"pid": None, "age": None, "started_at": None, "state": "none"}
    status["totals"] |= dict.fromkeys(("requests", "responses", "connections", "durations"))
    status["listeners"] = [{"address": "/run/shop.sock", "backlog": None, "backlog_limit": None}]
    return {**status, "mode": "script", "reload": None, "exits": []}
