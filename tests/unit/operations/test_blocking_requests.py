"""Which request holds a worker up, as its stacks say."""

from __future__ import annotations

from nodecluster_compat.operations.blocking_requests import requests_named
from nodecluster_compat.operations.metrics.counts import InFlight
from nodecluster_compat.operations.stack_places import number_that_runs

GREENLETS = """Current thread 0x00007f19321e0b80 (most recent call first):
  File "/srv/app.py", line 10 in report
greenlet 0x7f02, greenlet 0x7f01 (running):
  File "/srv/app.py", line 10, in report
Hub 0x7f00:
  File "gevent/hub.py", line 1, in run"""
TASKS = """Task 'Task-4' (RequestResponseCycle.run_asgi) waits:
  File "/srv/app.py", line 3, in wait
Task 'Task-12' (RequestResponseCycle.run_asgi) runs:
  File "/srv/app.py", line 10, in report"""
REQUESTS = [
    InFlight(100.0, "GET", "/slow", "1.2.3.4:5", 0x7F02),
    InFlight(101.0, "POST", "/report", "", 0x7F01),
    InFlight(102.0, "GET", "/task", "[::1]:6", 12),
]


def test_request_of_what_runs_is_named() -> None:
    assert number_that_runs(GREENLETS) == 0x7F01
    assert requests_named(REQUESTS, GREENLETS, 106.25) == "It serves POST /report, for 5.2 s"
    assert number_that_runs(TASKS) == 12
    assert requests_named(REQUESTS, TASKS, 106.25) == "It serves GET /task from [::1]:6, for 4.2 s"


def test_where_nobody_knows_what_runs_the_oldest_are_named() -> None:
    """A worker in a system call tells its threads alone; and a handler of its own may hold it up."""
    threads = GREENLETS.partition("greenlet")[0]
    assert number_that_runs(threads) is None
    assert requests_named(REQUESTS[:2], threads, 106.25) == (
        "In flight, the oldest first: GET /slow from 1.2.3.4:5, for 6.2 s; POST /report, for 5.2 s"
    )
    assert requests_named(REQUESTS[:1], "Hub 0x7f00 (running):\n", 106.25).startswith("In flight, ")
    assert requests_named(REQUESTS * 3, threads, 106.25).endswith("; and 4 more")
    assert requests_named([], threads, 106.25) == "No request is in flight"


def test_client_cannot_write_lines() -> None:
    forged = [InFlight(100.0, "GET", "/\n[INFO] all is well", "", 1)]
    assert "\n" not in requests_named(forged, "", 90.0)
