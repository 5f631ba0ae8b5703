"""How long a worker that has lost its primary may take to end."""

from __future__ import annotations

import os

import pytest

from nodecluster_compat.machine import last_words


@pytest.fixture
def limits(monkeypatch: pytest.MonkeyPatch) -> list[float]:
    """The limits that were set."""
    seen: list[float] = []
    monkeypatch.setattr(last_words.signals, "setitimer", lambda _, seconds: seen.append(seconds))
    monkeypatch.setattr(last_words.signals, "signal", lambda *_: None)
    monkeypatch.setattr(last_words._ThisProcess, "is_limited", False)
    monkeypatch.setattr(last_words._ThisProcess, "primary", 0)
    return seen


def test_whoever_was_let_go_of_ends_with_its_own_code(limits: list[float]) -> None:
    """The primary lives and reads it, so a busy machine must not turn it into a signal; an orphan's nobody reads."""
    last_words.limit_last_words(1.0)
    last_words.remember_primary(os.getpid())
    last_words.limit_last_words(1.0)
    last_words.remember_primary(os.getppid())
    last_words.limit_last_words(1.0)
    last_words.renew_last_words()
    assert limits == [1.0, 1.0, last_words.LET_GO_SECONDS, last_words.LET_GO_SECONDS]


def test_nothing_is_renewed_that_was_not_limited(limits: list[float]) -> None:
    """An orderly end has no limit."""
    last_words.renew_last_words()
    assert limits == []
