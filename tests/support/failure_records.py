"""Records of failed tests, as those of real ones look, for the page of a run."""

from __future__ import annotations

from typing import Any

from pytest_cluster.failures.records import ClusterRecord, FailureRecord

__all__ = ["made_failure"]


def made_failure(number: int = 1, *, entries: int = 12, text: str = "") -> dict[str, Any]:
    """Return a failure in which worker 1 was killed, *text* is said by everybody, and more happened after it."""
    lifes = [
        (0.1, "fork", 1, f"fork worker=1 pid=101 state=none {text}", "none"),
        (0.1, "fork", 2, "fork worker=2 pid=102 state=none", "none"),
        (0.6, "online", 1, "online worker=1 pid=101 state=online", "online"),
        (0.7, "listening", 1, "listening worker=1 pid=101 state=listening address=127.0.0.1:8000", "listening"),
        (0.8, "listening", 2, "listening worker=2 pid=102 state=listening address=127.0.0.1:8000", "listening"),
        (1.2, "fault", 1, "fault INJECTED SIGKILL to worker 1", ""),
        (1.3, "disconnect", 1, "disconnect worker=1 pid=101 state=disconnected", "disconnected"),
        (1.3, "exit", 1, "exit worker=1 pid=101 state=dead code=None signal=SIGKILL", "dead"),
    ]
    more = [
        (1.4 + one / 100, "message", 2, f"message from worker=2 {one} {text}", "listening") for one in range(entries)
    ]
    rows: list[dict[str, Any]] = [
        {"id": 1, "pid": 101, "state": "dead", "requests_served": 3, "in_flight": 1, "end": "SIGKILL (injected)"},
        {"id": 2, "pid": 102, "state": "listening", "requests_served": 4, "in_flight": 0, "end": ""},
    ]
    cluster = ClusterRecord(
        name="cluster",
        cause=f"worker 1 (pid 101) ended: SIGKILL (injected: SIGKILL to worker 1) {text}",
        about=f"primary pid 100  http://127.0.0.1:8000  policy rr {text}",
        workers=tuple(rows),
        entries=(*lifes, *more),
        requests=((0.9, 0.05, 2, f"GET /ok 200 in 50.0 ms {text}", True), (1.1, 0.2, None, "POST /pay lost", False)),
        logs=tuple((1.0 + one / 10, "worker 2", f"[INFO] line {one} {text}") for one in range(entries)),
        stacks=(("stacks of worker 2", f"File shop.py, line 1 {text}"),),
        sections=(("queue", f"3 waiting {text}"),),
        end=2.0,
        artefacts=".pytest_cache/d/cluster/test_pay",
    )
    name = f"tests/test_pay.py::test_pay[{number}]{text}"
    error = f"E   AssertionError: the payment was lost {text}"
    return FailureRecord(name, "call", error, f"reproduce: pytest {name}", (cluster,)).as_mapping()
