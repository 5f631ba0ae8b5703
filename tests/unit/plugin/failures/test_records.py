"""A failed test's record: its times since the test began, its logs by time."""

from __future__ import annotations

import time
from pathlib import Path

from pytest_cluster.failures.records import log_lines, noted_request
from pytest_cluster.requests.noted import NotedRequest
from pytest_cluster.server.logs import LogFolder
from pytest_cluster.wire.files import server_log_path, worker_log_path


def stamp(seconds: float) -> str:
    return time.strftime("[%Y-%m-%d %H:%M:%S +0000]", time.gmtime(seconds))


def test_lines_of_all_processes_by_time(tmp_path: Path) -> None:
    now = time.time()
    Path(server_log_path(str(tmp_path))).write_text(f"early\n{stamp(now - 5)} begin\n  more\n{stamp(now + 20)} end\n")
    Path(worker_log_path(str(tmp_path), 1, 77)).write_text(f"{stamp(now + 9)} boot\n[2026-99-99 00:00:00 +0000] what\n")
    lines = log_lines(LogFolder(str(tmp_path)), time.monotonic())
    assert [(who, text.rpartition("] ")[2]) for _, who, text in lines] == [
        ("primary", "early"),
        ("primary", "begin"),
        ("primary", "  more"),
        ("worker 1", "boot"),
        ("worker 1", "what"),
        ("primary", "end"),
    ]
    assert lines[0][0] is None
    assert lines[1][0] == lines[2][0]
    assert lines[3][0] is not None
    assert 7.5 < lines[3][0] < 9.5


def test_request_with_and_without_an_answer() -> None:
    answered = NotedRequest(11.0, 0.25, "GET", "/", 200, 3)
    lost = NotedRequest(11.5, 0.001, "POST", "/pay", None, None, "RemoteDisconnected")
    assert noted_request(answered, 10.0) == (1.0, 0.25, 3, "GET / 200 in 250.0 ms", True)
    assert noted_request(lost, 10.0) == (1.5, 0.001, None, "POST /pay RemoteDisconnected in 1.0 ms", False)
