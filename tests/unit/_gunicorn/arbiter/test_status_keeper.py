"""The status file is written when something has happened, and whoever waits for it in vain is told why."""

from __future__ import annotations

import json
import logging
import os
import threading
from collections.abc import Iterator
from dataclasses import dataclass, replace
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat._gunicorn.arbiter import status_keeper
from nodecluster_compat._gunicorn.arbiter.status_keeper import StatusKeeper
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.connections.queue_watch import QueueStatus
from nodecluster_compat.machine.background import Background
from nodecluster_compat.operations.status_file import write_status
from nodecluster_compat.roles.status import ClusterStatus


@dataclass
class Board:
    faults: int = 0

    def status(self) -> ClusterStatus:
        queue = QueueStatus(0, 0, 0)
        return ClusterStatus(os.getpid(), "running", 1, 1, 0, 0, 0, (), queue, self.faults, None, None, None)

    outline = status


class Kept:
    def __init__(self, monkeypatch: pytest.MonkeyPatch, path: Path) -> None:
        log = logging.getLogger("test.status")
        self.loop = Loop(log)
        self.background = Background(lambda error: pytest.fail(str(error)))
        self.settings = SimpleNamespace(status_file=str(path))
        self.board = Board()
        monkeypatch.setattr(status_keeper, "settings_in_force", lambda: self.settings)
        monkeypatch.setattr(status_keeper, "_AGAIN_SECONDS", 0.0)
        arbiter = SimpleNamespace(loop=self.loop, log=log, pid=os.getpid(), master_pid=0, reexec_pid=0)
        upgrade: Any = SimpleNamespace(is_in_charge=True)
        self.keeper = StatusKeeper(cast("Any", arbiter), upgrade, cast("Any", self.board), self.background)

    def turn(self) -> None:
        self.keeper.turn()
        assert self.background.flush(30)
        self.loop.run_once(0.0)


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(monkeypatch, tmp_path / "app" / "status.json")
    yield kept
    kept.keeper.close()
    assert kept.background.finish(30)
    kept.background.abandon()
    kept.loop.close()


def test_file_that_cannot_be_written_is_said_once_and_tried_again(
    kept: Kept, caplog: pytest.LogCaptureFixture, tmp_path: Path
) -> None:
    for _ in range(3):
        kept.turn()
    [said] = caplog.messages
    assert said.startswith("No status file for now: [Errno 2] No such file or directory: ")
    (tmp_path / "app").mkdir()
    kept.turn()
    assert json.loads((tmp_path / "app" / "status.json").read_text())["pid"] == os.getpid()


def test_file_goes_where_a_reload_has_said(kept: Kept, tmp_path: Path) -> None:
    """The former one would tell what was, for ever."""
    for name in ("one", "two"):
        kept.settings.status_file = str(tmp_path / name)
        kept.turn()
        kept.turn()
        assert os.listdir(tmp_path) == [name]


def test_reloads_while_the_disk_hangs_leave_one_file(kept: Kept, tmp_path: Path) -> None:
    kept.settings.status_file = str(tmp_path / "one")
    kept.turn()
    goes_on = threading.Event()
    kept.background.do("hanging", lambda: goes_on.wait(30))
    for name in ("two", "three"):
        kept.settings.status_file = str(tmp_path / name)
        kept.keeper.turn()
    goes_on.set()
    kept.turn()
    assert os.listdir(tmp_path) == ["three"]


def test_file_of_another_server_is_said_once(kept: Kept, caplog: pytest.LogCaptureFixture, tmp_path: Path) -> None:
    (tmp_path / "app").mkdir()
    kept.turn()
    other = os.getppid()
    for faults in range(1, 4):
        write_status(replace(kept.board.status(), pid=other), kept.settings.status_file)
        kept.board.faults = faults
        kept.turn()
    [said] = caplog.messages
    assert f"is written by the process with pid {other}, too" in said
