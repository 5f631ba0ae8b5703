"""What a log says of why something went wrong: one line of it, as a sentence can have it."""

from __future__ import annotations

import pytest

from pytest_cluster.server.exits import LINE_CHARACTERS, error_in_log, last_words

LONG = "x" * 3_000_000


@pytest.mark.parametrize(
    ("log", "line"),
    [
        ("Traceback …\nValueError: the reason\n[2026-11-29 10:00:00 +0000] [7] [INFO] end", "ValueError: the reason"),
        (f"ValueError: {LONG}", f"ValueError: {LONG}"[:LINE_CHARACTERS] + "…"),
        (f"[2026-11-29 10:00:00 +0000] [7] [ERROR] {LONG}", LONG[:LINE_CHARACTERS] + "…"),
        (
            "Invalid value for user: x\n\nError: No such user: 'x'\n",
            "Invalid value for user: x; Error: No such user: 'x'",
        ),
        ("nothing went wrong", ""),
    ],
    ids=["error", "long error", "long line of the log", "refused setting", "none"],
)
def test_error_in_a_log(log: str, line: str) -> None:
    assert error_in_log(log) == line


@pytest.mark.parametrize(("log", "line"), [("one\ntwo\n", "two"), ("", ""), (LONG, LONG[:LINE_CHARACTERS] + "…")])
def test_last_words_are_no_more_than_a_sentence_can_have(log: str, line: str) -> None:
    assert last_words(log) == line
