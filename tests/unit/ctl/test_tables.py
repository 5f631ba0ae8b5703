"""What a terminal shows."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
from status_documents import made_status

from nodecluster_compat.ctl import tables
from nodecluster_compat.ctl.tables import events_text, exits_text, seconds, size, stacks_text, table, workers_text

WORKER: dict[str, Any] = {
    "slot": 2, "id": 7, "pid": 8, "state": "listening", "health": "ok", "lag": 0.04, "generation": 1, "age": 61.0,
    "is_leaving": False, "requests": None, "rss_bytes": None,
}  # fmt: skip
EXIT: dict[str, Any] = {
    "at": "2026-11-28T23:19:37.123+00:00", "slot": 2, "pid": 8, "age": 3.0, "code": None, "signal": "SIGSEGV",
    "reason": "crash", "how": "was ended by SIGSEGV after it had listened", "last_words": ["one", "two"],
}  # fmt: skip


def test_columns_are_as_wide_as_they_need() -> None:
    assert table(["A", "B"], [[1, None], ["long", ""]]) == "A     B\n1     -\nlong  -"


@pytest.mark.parametrize(
    ("value", "text"),
    [(None, None), (0.04, "0.0s"), (59.94, "59.9s"), (61, "1m 1s"), (7300, "2h 1m"), (90_000, "1d 1h")],
)
def test_spans_of_time(value: float | None, text: str | None) -> None:
    assert seconds(value) == text


@pytest.mark.parametrize(
    ("value", "text"), [(None, None), (5, "5 B"), (2048, "2.0 KiB"), (3 << 20, "3.0 MiB"), (5 << 30, "5.0 GiB")]
)
def test_sizes(value: float | None, text: str | None) -> None:
    assert size(value) == text


def test_numbers_that_nobody_counts_have_no_column() -> None:
    lines = workers_text([{**WORKER, "slot": 10}, WORKER]).splitlines()
    assert lines[0].split() == ["SLOT", "ID", "PID", "STATE", "HEALTH", "LAG", "GENERATION", "AGE"]
    assert [line.split()[0] for line in lines[1:]] == ["2", "10"]
    counted = workers_text([WORKER, {**WORKER, "requests": 5, "rss_bytes": 1 << 20}]).splitlines()
    assert counted[0].endswith("AGE    REQUESTS  MEMORY")
    assert counted[1].endswith("-         -")
    assert counted[2].endswith("5         1.0 MiB")


def test_worker_that_leaves_is_shown_as_leaving() -> None:
    assert "leaving" in workers_text([{**WORKER, "is_leaving": True}])


def test_last_words_stand_below_the_exits() -> None:
    lines = exits_text([EXIT, {**EXIT, "reason": "asked", "signal": None, "code": 0, "last_words": []}]).splitlines()
    assert lines[1].split() == ["2026-11-28", "23:19:37", "2", "8", "3.0s", "code", "0", "asked"]
    assert lines[2].split()[-2:] == ["SIGSEGV", "crash"]
    assert lines[4:] == [
        "worker 2 (pid 8) was ended by SIGSEGV after it had listened:",
        "    one",
        "    two",
    ]
    assert exits_text([]) == "no worker has ended"


def test_nothing_moves_the_cursor() -> None:
    """Whatever a worker has made up."""
    bad = "a\x1b[2J\n\u2028\x9b"
    event = {"seq": 1, "at": EXIT["at"], "event": "listening", "address": bad}
    for text in (table(["A"], [[bad]]).partition("\n")[2], events_text([event])):
        assert text.isprintable()
        assert r"a\x1b[2J\x0a\u2028\x9b" in text


def test_stacks_and_events() -> None:
    assert stacks_text([]) == "no worker runs"
    assert stacks_text([{"slot": 1, "pid": 2, "stacks": "x"}]) == "--- worker 1 (pid 2) ---\nx"
    event = {"seq": 1, "at": EXIT["at"], "event": "exit", "slot": 1, "signal": None, "code": 0}
    assert events_text([event]) == "2026-11-28 23:19:37  exit        slot=1 code=0"


@pytest.mark.parametrize("shown", ["docs/operations.md", "nodecluster_compat/ctl/examples.txt"])
def test_printed_examples_have_the_columns_of_today(shown: str) -> None:
    """Their tables of workers were really printed, and must be again when a column comes or goes."""
    head = workers_text(made_status()["workers"]).splitlines()[0].split()
    lines = (Path(tables.__file__).parents[2] / shown).read_text().splitlines()
    heads = [line.split() for line in lines if line.startswith("SLOT") and "GENERATION" in line]
    assert heads
    assert [one for one in heads if one != head] == []
