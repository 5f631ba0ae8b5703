"""Commands for a dirty arbiter that does not answer: few wait, and none is carried out when nobody expects it."""

from __future__ import annotations

import json
import logging
import threading
from collections.abc import Callable, Iterator, Sequence
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat._gunicorn.arbiter import control_commands
from nodecluster_compat._gunicorn.arbiter.control_commands import ControlCommands
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.operations.control_frames import Frame
from nodecluster_compat.operations.orders import Orders


class Asked:
    """Commands, and a dirty arbiter that is stopped until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        log = logging.getLogger("test.commands")
        self.loop = Loop(log)
        self.entered, self.goes_on = threading.Event(), threading.Event()
        self.done: list[str] = []
        self.answers: list[dict[str, Any]] = []
        monkeypatch.setattr(control_commands, "StockCommands", lambda _: SimpleNamespace(execute=self._execute))
        arbiter = SimpleNamespace(dirty_arbiter_pid=7, loop=self.loop, log=log)
        self.commands = ControlCommands(cast("Any", arbiter), Orders())

    def _execute(self, words: Sequence[str]) -> dict[str, Any]:
        self.entered.set()
        assert self.goes_on.wait(30)
        self.done.append(words[-1])
        return {}

    def ask(self, word: str) -> None:
        self.commands.carry_out(Frame(1, f"dirty add {word}", ()), self._take)

    def _take(self, answer: bytes) -> None:
        self.answers.append(json.loads(answer[4:]))

    def turn_until(self, done: Callable[[], object]) -> None:
        while not done():
            self.loop.run_once(0.01)


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch) -> Iterator[Asked]:
    asked = Asked(monkeypatch)
    asked.ask("0")
    assert asked.entered.wait(30)
    yield asked
    asked.goes_on.set()
    assert asked.commands._background.finish(30)
    asked.commands.abandon()
    asked.loop.close()


def test_few_commands_wait(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks and leaves, again and again, has few of them carried out; and then there is room again."""
    monkeypatch.setattr(control_commands, "_MOST_QUEUED", 3)
    for number in range(1, 10):
        asked.ask(str(number))
    assert len(asked.answers) == 7
    assert all("3 commands wait for the dirty arbiter already" in one["error"] for one in asked.answers)
    asked.goes_on.set()
    asked.turn_until(lambda: len(asked.answers) == 10)
    asked.ask("last")
    asked.turn_until(lambda: len(asked.answers) == 11)
    assert asked.done == ["0", "1", "2", "last"]


def test_command_that_comes_too_late_is_not_carried_out(asked: Asked, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(control_commands, "_PATIENCE", -1.0)
    asked.ask("1")
    asked.goes_on.set()
    asked.turn_until(lambda: len(asked.answers) == 2)
    assert asked.done == ["0"]
    assert "this was not carried out" in asked.answers[1]["error"]
