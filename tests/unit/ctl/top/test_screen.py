"""What is on the screen, on terminals of any size, whatever the server says."""

from __future__ import annotations

import copy
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from status_documents import made_status, uncounted_status

from nodecluster_compat.ctl.top.cells import clipped, harmless, plain, width_of, wrapped
from nodecluster_compat.ctl.top.rates import NO_RATES, DurationWindow, Rates, WorkerRates
from nodecluster_compat.ctl.top.screen import frame, printed
from nodecluster_compat.ctl.top.session import Session

STATUS = made_status()
RATES = Rates(12.34, 0.5, 1.5, {1: WorkerRates(7.0, 0.25)}, DurationWindow((0.005, 1.0), (90, 9, 1), 10.0))


def session_of(rates: Rates = NO_RATES, **changes: Any) -> Session:
    made = Session()
    made.update({**copy.deepcopy(STATUS), **changes}, rates)
    return made


def text_of(session: Session, width: int = 80, height: int = 24) -> str:
    return "\n".join(plain(line) for line in frame(session, width, height))


def test_screen_of_a_usual_terminal() -> None:
    assert text_of(session_of(RATES), 80, 14).split("\n") == [
        "shop-1: running  server mode, pid 100, up 1m 0s, at 00:04:00 UTC",
        "Workers  3 of 3 listen, 0 booting, 0 ending, generation 1",
        "Requests 12.3/s, 5xx 0.5/s; 6 in flight, the oldest for 0.5s; 60 in all",
        "Latency  p50 <= 5ms, p95 <= 1s, p99 <= 1s, mean 100ms (last minute)",
        "Waiting  0 in the server, 0 of 2048 in the kernel; 1 left, 2 overdue",
        "Usage    memory 192.0 MiB, CPU 150% of a core, worst lag 0.3s",
        "Reloads  reload 1 succeeded in 0.4s",
        "Ended    1 crash; 4 started",
        "",
        "SLOT^  PID  STATE      REQ/S  REQUESTS  ACTIVE  OLDEST   LAG    MEMORY  CPU",
        "    1  101  listening    7.0        10       1    0.5s  0.1s  32.0 MiB  25%",
        "    2  102  listening      -        20       2    0.5s  0.2s  64.0 MiB    -",
        "    3  103  listening      -        30       3    0.5s  0.3s  96.0 MiB    -",
        "q quit  ? help  < > sort  S reverse  t stacks  f requests  e exits  r restart",
    ]


@settings(max_examples=60)
@given(st.integers(1, 250), st.integers(1, 60), st.sampled_from(["", "?", "e", "t", "r", ">"]))
def test_screen_fits_any_terminal(width: int, height: int, key: str) -> None:
    session = session_of(RATES)
    session.press(key)
    lines = frame(session, width, height)
    assert len(lines) == height
    assert all(width_of(plain(line)) <= width for line in lines)


def test_narrow_terminal_leaves_out_what_matters_least() -> None:
    heads = next(line for line in text_of(session_of(), 45).split("\n") if "STATE" in line).split()
    assert heads == ["SLOT^", "STATE", "REQ/S", "ACTIVE", "OLDEST"]


def test_selected_worker_is_seen_where_not_all_are() -> None:
    workers = [{**STATUS["workers"][0], "id": number, "slot": number, "pid": 1000 + number} for number in range(1, 100)]
    session = session_of(workers=workers)
    for key in ("end", "page up", "page up", "home", "page down"):
        session.press(key)
        shown = frame(session, 80, 24)
        [line] = [line for line in shown if line and line[0][0] == "inverse"]
        assert plain(line).split()[1] == str(1000 + (session.selected or 0))


@pytest.mark.parametrize(
    ("changes", "sentence"),
    [
        (
            {"state": "degraded", "next_attempt_in": 3.0, "last_fault": "hung\x1b]0;x"},
            r"keep failing; next attempt in 3.0s: the last one hung\x1b]0;x",
        ),
        ({"workers": [{**STATUS["workers"][0], "health": "blocked"}]}, "worker 1 is blocked"),
        ({"upgrade": "pending"}, "upgrade pending"),
        ({"listeners": []}, "Waiting  0 in the server; 1 left"),
    ],
)
def test_what_somebody_should_know_is_said(changes: dict[str, Any], sentence: str) -> None:
    assert sentence in text_of(session_of(**changes), 120)


def test_what_nobody_counts_is_a_dash() -> None:
    session = Session()
    session.update(uncounted_status(), NO_RATES)
    text = text_of(session, 130)
    assert "Requests -/s, 5xx -/s; 0 in flight; - in all" in text
    assert "Usage    memory -, CPU - of a core" in text
    assert text.split("\n")[10].split() == ["1", "-", "none", "-", "-", "-", "-", "0.1s", "-", "-", "-", "1", "-"]


def test_server_that_is_gone_is_said_above_what_it_said_last() -> None:
    session = session_of()
    session.lost("no server answers on /x")
    assert "no server answers on /x" in text_of(session)
    assert "listening" in text_of(session)
    assert "listening" not in text_of(Session())  # nothing is known yet


def test_long_lines_of_a_text_go_on_in_the_next() -> None:
    session = session_of()
    [ask] = [session.press("t")]
    assert ask is not None
    session.answered(ask, {"workers": [{"slot": 1, "pid": 1, "stacks": "x" * 25 + "\nend"}]})
    lines = [line.rstrip() for line in text_of(session, 10, 20).split("\n")]
    assert lines[5:10] == ["x" * 10, "x" * 10, "x" * 5, "end", ""]


@given(st.text())
def test_text_is_harmless_and_as_wide_as_it_is_said_to_be(text: str) -> None:
    made = harmless(text)
    assert made.isprintable()
    for width in (1, 2, 7):
        assert width_of(plain(clipped((("", made),), width))) <= width
        assert "".join(wrapped(made, width)) == made
    assert harmless("a\x1b[2J\u202eb\n") == r"a\x1b[2J\u202eb\n"
    assert width_of("日本") == 4


def test_once_all_workers_are_printed() -> None:
    workers = [{**STATUS["workers"][0], "id": number, "slot": number} for number in range(1, 60)]
    lines = printed(session_of(RATES, workers=workers), 200).split("\n")
    assert lines[9].split()[-1] == "CONNECTIONS"
    assert [line.split()[0] for line in lines[10:]] == [str(number) for number in range(1, 60)]
