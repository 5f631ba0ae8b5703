"""What the manager of the service is told while the server starts and reloads; the rest needs a server that runs."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter.service import Service

MORE_TIME = "EXTEND_TIMEOUT_USEC=90000000"


class Rig:
    """A service whose loop's timers are run by the test."""

    def __init__(self, path: Path) -> None:
        self.manager = socket.socket(socket.AF_UNIX, socket.SOCK_DGRAM)
        self.manager.bind(str(path))
        self.manager.setblocking(False)
        self.timers: list[Callable[[], None]] = []
        self.roster = SimpleNamespace(has_listened=False, listening=[], rollout=None)
        self.upgrade = SimpleNamespace(is_in_charge=True, old_master=0, new_master=0)
        self.status = SimpleNamespace(state="starting", listening=0, target=1, workers=[], reload=None, last_fault="")
        self.is_degraded = False
        loop: Any = SimpleNamespace(call_later=lambda seconds, call: self.timers.append(call))
        roster: Any = self.roster
        upgrade: Any = self.upgrade
        status: Any = self.status
        self.service = Service(loop, roster, upgrade, lambda: status, lambda: self.is_degraded, {})

    def told(self) -> list[str]:
        """What the manager was told since the last call."""
        lines: list[str] = []
        while True:
            try:
                lines += self.manager.recv(4096).decode().split("\n")
            except BlockingIOError:
                return lines

    def pass_time(self) -> None:
        timers, self.timers[:] = self.timers[:], []
        for call in timers:
            call()


@pytest.fixture
def rig(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Rig]:
    monkeypatch.setenv("NOTIFY_SOCKET", str(tmp_path / "notify"))
    made = Rig(tmp_path / "notify")
    yield made
    made.manager.close()


def test_more_time_until_a_worker_listens(rig: Rig) -> None:
    """An application may take longer to import than systemd waits."""
    for _ in range(3):
        assert rig.told() == [MORE_TIME]
        rig.pass_time()
    rig.told()
    rig.roster.has_listened = True
    rig.service.turn()
    assert "READY=1" in rig.told()
    rig.pass_time()
    assert not rig.told()
    assert not rig.timers


def test_more_time_during_a_reload(rig: Rig) -> None:
    rig.roster.has_listened = True
    rig.service.turn()
    rig.pass_time()
    rig.told()
    rig.roster.rollout = object()
    rig.service.begin_reload()
    assert rig.told()[-1] == MORE_TIME
    rig.pass_time()
    assert rig.told() == [MORE_TIME]
    rig.roster.rollout = None
    rig.service.turn()
    rig.told()
    rig.pass_time()
    assert not rig.told()


def test_no_more_time_for_a_crash_loop_or_for_an_end(rig: Rig) -> None:
    rig.told()
    rig.is_degraded = True
    rig.pass_time()
    assert not rig.told()
    rig.is_degraded = False
    rig.pass_time()
    assert rig.told() == [MORE_TIME]
    rig.service.stop()
    rig.told()
    rig.pass_time()
    assert not rig.told()
