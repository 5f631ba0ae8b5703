"""Watching the application's files while workers fail, on a loop whose time the test turns."""

from __future__ import annotations

from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import source_watch
from nodecluster_compat._gunicorn.arbiter.source_watch import SourceWatch


class Watched:
    """Files, a loop and a clock."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.now = 0.0
        self.files = "as they were"
        self.is_needed = True
        self.changes: list[float] = []
        self._due: list[Callable[[], None]] = []
        monkeypatch.setattr(source_watch.time, "monotonic", lambda: self.now)
        loop: Any = SimpleNamespace(call_later=lambda seconds, call: self._due.append(call))
        sample: Any = lambda purpose, tell: tell(self.files)  # noqa: E731 - as short as it is
        self.watch = SourceWatch(loop, sample, lambda: self.is_needed, lambda: self.changes.append(self.now))

    @property
    def is_watching(self) -> bool:
        return bool(self._due)

    def sample(self, times: int = 1, seconds: float = 0.25) -> None:
        for _ in range(times):
            self.now += seconds
            self._due.pop(0)()


@pytest.fixture
def watched(monkeypatch: pytest.MonkeyPatch) -> Watched:
    return Watched(monkeypatch)


def test_change_is_told_when_it_is_at_rest(watched: Watched) -> None:
    """An editor that writes in two steps is waited for."""
    watched.watch.begin()
    watched.files = "half"
    watched.sample()
    watched.files = "whole"
    watched.sample()
    assert watched.changes == []
    watched.sample(3)
    assert watched.changes == [0.75]


def test_sources_that_keep_changing_are_told_less_and_less(watched: Watched) -> None:
    """A worker that writes its own sources while it boots must not drive the restarts."""
    watched.watch.begin()
    for number in range(200):
        watched.files = f"version {number}"
        watched.sample(2)
    pauses = [later - sooner for sooner, later in zip(watched.changes, watched.changes[1:], strict=False)]
    assert pauses == sorted(pauses)
    assert pauses[-1] >= 30


def test_what_new_workers_find_is_no_change(watched: Watched) -> None:
    """They have tried it already."""
    watched.watch.begin()
    watched.files = "corrected"
    watched.watch.note()
    watched.sample(3)
    assert watched.changes == []


def test_watch_ends_with_its_need_and_begins_again(watched: Watched) -> None:
    """Begun twice it is one watch."""
    watched.watch.begin()
    watched.watch.begin()
    watched.is_needed = False
    watched.sample()
    assert not watched.is_watching
    watched.watch.begin()
    assert watched.is_watching
