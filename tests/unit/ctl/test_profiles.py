"""Profiles as other programs read them."""

from __future__ import annotations

import json
from typing import Any

import pytest

from nodecluster_compat.ctl.client import Refused
from nodecluster_compat.ctl.profiles import collapsed_text, heap_of, heap_text, profile_of, speedscope_of, summary_of

STACKS = {"main thread;a (/x.py:1);b (/y.py:2)": 3, "main thread;a (/x.py:1)": 5}
RESULT = json.dumps({"seconds": 1.0, "rate": 10.0, "samples": 10, "idle": 2, "stacks": STACKS})


def test_collapsed_stacks_have_the_most_frequent_first() -> None:
    assert collapsed_text(profile_of(RESULT)) == ("main thread;a (/x.py:1) 5\nmain thread;a (/x.py:1);b (/y.py:2) 3")


def test_speedscope_has_every_frame_once() -> None:
    found = speedscope_of(profile_of(RESULT), "worker 1")
    frames = found["shared"]["frames"]
    assert frames == [
        {"name": "main thread"},
        {"name": "a", "file": "/x.py", "line": 1},
        {"name": "b", "file": "/y.py", "line": 2},
    ]
    [one] = found["profiles"]
    assert (one["samples"], one["weights"]) == ([[0, 1, 2], [0, 1]], [0.3, 0.5])
    assert one["endValue"] == pytest.approx(0.8)


def test_summary_says_how_much_was_seen() -> None:
    said = summary_of(profile_of(RESULT), "worker 1")
    assert said == "worker 1: 10 samples in 1.0 s, 8 of a thread at work, 2 of an idle one"


@pytest.mark.parametrize(
    "result",
    [
        "",
        "[]",
        "{}",
        '{"stacks": 3}',
        '{"error": "no"}',
        "[" * 100_000,
        RESULT.replace("10.0", "0"),
        RESULT.replace("10.0", "NaN"),
        RESULT.replace("5}", "Infinity}"),
        RESULT.replace("5}", "1" + "0" * 400 + "}"),
        RESULT.replace("5}", "-5}"),
        RESULT.replace("1.0", "NaN", 1),
    ],
)
def test_what_a_worker_wrote_may_be_nonsense(result: str) -> None:
    for take in (profile_of, heap_of):
        with pytest.raises(Refused, match="the worker"):
            take(result)


@pytest.mark.parametrize(
    ("found", "text"),
    [
        ({"tracing": False}, "nothing is traced: run 'nodeclusterctl heap 2 --start'"),
        ({"tracing": True, "bytes": 2048, "peak_bytes": 4096, "lines": []}, "tracing: 2.0 KiB traced, 4.0 KiB at most"),
        (
            {"tracing": True, "bytes": 1, "peak_bytes": 1, "lines": [{"bytes": 1, "blocks": 1, "where": "a.py:3"}]},
            "SIZE  BLOCKS  ALLOCATED AT\n1 B   1       a.py:3\n",
        ),
    ],
)
def test_heap_is_told(found: dict[str, Any], text: str) -> None:
    assert heap_text(heap_of(json.dumps(found)), "2").startswith(text)
