"""The commands of the stock ``gunicornc``, with a stand-in for the arbiter."""

from __future__ import annotations

import logging
from collections import Counter
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter.stock_commands import StockCommands
from nodecluster_compat._gunicorn.arbiter.stock_handlers import StockHandlers
from nodecluster_compat.lifecycle.roster import Roster


def scaled(arbiter: Any, workers: int) -> None:
    arbiter.num_workers = workers


@pytest.fixture
def arbiter() -> Any:
    worker = SimpleNamespace(age=1, booted=True, aborted=False, tmp=SimpleNamespace(last_update=lambda: 0.0))
    made: Any = SimpleNamespace(
        pid=1,
        num_workers=2,
        WORKERS={7: worker},
        LISTENERS=[],
        dirty_arbiter_pid=0,
        dirty_arbiter=None,
        _stats={},
        log=logging.getLogger("test"),
        cfg=SimpleNamespace(bind=["127.0.0.1:1"], workers=2, worker_class=StockHandlers),
        is_supervised=True,
        roster=Roster(),
        reloader=SimpleNamespace(last_report=None),
        status=lambda: SimpleNamespace(uptime=1.5, totals=SimpleNamespace(spawned=2, exits=Counter())),
        wakeup=lambda: None,
        reopened=0,
    )
    made.scale = lambda workers: scaled(made, workers)
    return made


@pytest.mark.parametrize("command", ["show workers", "show all", "show dirty", "show stats", "show listeners", "help"])
def test_ours_answer_as_gunicorns_where_it_has_none(arbiter: Any, command: str) -> None:
    """The same keys, on all levels."""
    handlers = pytest.importorskip("gunicorn.ctl.handlers", reason="gunicorn has them from 25.1 on")
    name = command.replace(" ", "_")
    theirs = getattr(handlers.CommandHandlers(arbiter), name)()
    assert _shape(getattr(StockHandlers(arbiter), name)()) == _shape(theirs)


def _shape(value: Any) -> Any:
    if isinstance(value, dict):
        return {key: _shape(one) for key, one in value.items()}
    return [_shape(one) for one in value] if isinstance(value, list) else None


@pytest.mark.parametrize(
    ("command", "total"), [("add", 3), ("add 3", 5), ("add -5", 3), ("remove", 1), ("remove 9", 1)]
)
def test_ours_change_the_number_as_gunicorns(arbiter: Any, command: str, total: int) -> None:
    handlers = pytest.importorskip("gunicorn.ctl.handlers", reason="gunicorn has them from 25.1 on")
    action, _, count = command.partition(" ")
    ours = getattr(StockHandlers(arbiter), f"worker_{action}")(int(count or 1))
    arbiter.num_workers = 2
    assert ours == getattr(handlers.CommandHandlers(arbiter), f"worker_{action}")(int(count or 1))
    assert ours["total"] == total


@pytest.mark.parametrize(
    ("command", "sentence"),
    [
        ("bogus", "Unknown command: bogus"),
        ("show", r"Missing show target \(all\|workers\|dirty\|config\|stats\|listeners\)"),
        ("show bogus", "Unknown show target: bogus"),
        ("worker", r"Missing worker action \(add\|remove\|kill\)"),
        ("worker bogus", "Unknown worker action: bogus"),
        ("worker kill", "Missing PID for worker kill"),
        ("dirty", r"Missing dirty action \(add\|remove\)"),
        ("worker add many", "invalid literal"),
    ],
)
def test_what_is_no_command_is_refused_in_gunicorns_words(arbiter: Any, command: str, sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        StockCommands(arbiter).execute(command.split())


def test_slip_of_a_finger_forks_no_million_workers(arbiter: Any) -> None:
    with pytest.raises(ValueError, match="expected 1024 workers at most in the end, got 1000000 more"):
        StockCommands(arbiter).execute(["worker", "add", "1000000"])
    assert arbiter.num_workers == 2


def test_worker_that_is_not_there_is_not_killed(arbiter: Any) -> None:
    assert StockCommands(arbiter).execute(["worker", "kill", "99"]) == {
        "success": False,
        "error": "Worker 99 not found",
    }


def test_what_would_end_a_script_is_refused_or_done_otherwise(arbiter: Any) -> None:
    arbiter.is_supervised = False
    reopened: list[bool] = []
    arbiter.reopen_own_logs = lambda: reopened.append(True)
    commands = StockCommands(arbiter)
    for command in ("reload", "worker add", "worker remove 2"):
        with pytest.raises(ValueError, match="in script mode"):
            commands.execute(command.split())
    assert commands.execute(["reopen"]) == {"status": "reopening"}
    assert reopened == [True]
