"""The path of the control socket is on a disk that may hang: whoever keeps it waits for nothing."""

from __future__ import annotations

import contextlib
import logging
import os
import socket
import stat
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat._gunicorn.arbiter import door_keeper
from nodecluster_compat._gunicorn.arbiter.door_keeper import DoorKeeper
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.variables import CONTROL_SOCKET
from nodecluster_compat.machine import socket_path
from nodecluster_compat.machine.background import Background
from nodecluster_compat.machine.socket_path import SocketPath
from nodecluster_compat.operations.door import Door
from nodecluster_compat.operations.routes import Routes


class Disk:
    """A file system that hangs until it is told to go on."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.entered, self.goes_on = threading.Event(), threading.Event()
        self._is_well = False
        for name in ("makedirs", "lstat"):
            monkeypatch.setattr(socket_path, "os", self)
            setattr(self, name, self._held(getattr(os, name)))

    def _held(self, call: Any) -> Any:
        def held(*args: Any, **options: Any) -> Any:
            if not self._is_well:
                self.entered.set()
                assert self.goes_on.wait(30)
            return call(*args, **options)

        return held

    def recover(self) -> None:
        self._is_well = True
        self.goes_on.set()

    def __getattr__(self, name: str) -> Any:
        return getattr(os, name)


class Kept:
    """A keeper, its door and the loop that the test turns."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch, folder: Path) -> None:
        log = logging.getLogger("test.door")
        self.path = str(folder / "ctl")
        self.loop = Loop(log)
        self.background = Background(lambda error: pytest.fail(str(error)))
        self.upgrade = SimpleNamespace(is_in_charge=True)
        self.settings = SimpleNamespace(control_socket=self.path)
        monkeypatch.setattr(door_keeper, "settings_in_force", lambda: self.settings)
        monkeypatch.setattr(door_keeper, "_LOOK_SECONDS", 0.0)
        monkeypatch.setattr(door_keeper, "_AGAIN_SECONDS", 0.0)
        arbiter = SimpleNamespace(
            loop=self.loop, log=log, cfg=SimpleNamespace(), background=self.background, is_supervised=True
        )
        arbiter.pid, arbiter.master_pid, arbiter.reexec_pid = os.getpid(), 0, 0
        self.cfg = arbiter.cfg
        self.door = Door(self.loop, log, lambda *_: None, Routes())
        self.keeper = DoorKeeper(cast("Any", arbiter), cast("Any", self.upgrade), self.door)

    def turn_until_it_answers(self, path: str) -> None:
        while not (self._is_at(path) and self._answers(path)):
            self.keeper.turn()
            self.loop.run_once(0.01)

    def _is_at(self, path: str) -> bool:
        place = self.keeper._place
        return self.door.is_listening and place is not None and place.path == path

    @staticmethod
    def _answers(path: str) -> bool:
        with socket.socket(socket.AF_UNIX) as client:
            return client.connect_ex(path) == 0


@pytest.fixture
def kept(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> Iterator[Kept]:
    kept = Kept(monkeypatch, tmp_path)
    yield kept
    kept.keeper.close()
    assert kept.background.finish(30)
    assert os.listdir(tmp_path) == []
    kept.background.abandon()
    kept.loop.close()


def test_socket_is_there_before_the_first_worker(kept: Kept) -> None:
    kept.keeper.begin()
    assert kept.door.is_listening
    kept.turn_until_it_answers(kept.path)


def test_disk_that_hangs_holds_up_neither_boot_nor_loop(
    kept: Kept, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """And once it goes on the socket is there."""
    caplog.set_level(logging.INFO)
    monkeypatch.setattr(door_keeper, "_BOOT_SECONDS", 0.01)
    disk = Disk(monkeypatch)
    kept.keeper.begin()
    assert disk.entered.wait(30)
    for _ in range(3):
        kept.keeper.turn()
    assert not kept.door.is_listening
    disk.recover()
    kept.turn_until_it_answers(kept.path)
    assert caplog.messages == [f"Control socket listening at {kept.path}"]


def test_disk_that_hangs_later_holds_up_neither_loop_nor_end(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    kept.turn_until_it_answers(kept.path)
    disk = Disk(monkeypatch)
    while not disk.entered.is_set():
        kept.keeper.turn()
        kept.loop.run_once(0.01)
    kept.keeper.turn()
    kept.keeper.close()
    assert not kept.door.is_listening
    assert not kept.background.flush(0.01)
    disk.recover()


def test_server_that_ends_while_the_path_is_taken_leaves_nothing(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(door_keeper, "_BOOT_SECONDS", 0.01)
    disk = Disk(monkeypatch)
    kept.keeper.begin()
    kept.keeper.close()
    disk.recover()
    assert kept.background.flush(30)
    assert os.listdir(os.path.dirname(kept.path)) == []


def test_child_has_nothing_of_what_is_taken_meanwhile(kept: Kept) -> None:
    """Forked between the thread's work and the loop's."""
    kept.keeper.turn()
    assert kept.background.flush(30)
    sought = kept.keeper._seeker._sought
    assert sought is not None
    assert sought._sock is not None
    pid = os.fork()
    if not pid:
        kept.keeper.abandon()
        os._exit(sought._sock.fileno() >= 0)
    assert os.waitpid(pid, 0)[1] == 0


def test_old_master_leaves_the_path_to_the_new_one(kept: Kept) -> None:
    """It listens until the new one has the path, and does not remove it."""
    kept.turn_until_it_answers(kept.path)
    kept.upgrade.is_in_charge = False
    for _ in range(3):
        kept.keeper.turn()
        assert kept.background.flush(30)
        kept.loop.run_once(0.01)
    assert kept.door.is_listening
    new = SocketPath(kept.path, 0o600)
    with contextlib.closing(new.take(5, lambda _: True)):
        while kept.door.is_listening:
            kept.keeper.turn()
            kept.loop.run_once(0.01)
        assert kept.background.flush(30)
        assert new.is_ours
    new.release()


def test_path_that_is_lost_or_renamed_is_followed(kept: Kept, tmp_path: Path) -> None:
    kept.turn_until_it_answers(kept.path)
    os.unlink(kept.path)
    kept.turn_until_it_answers(kept.path)
    kept.settings.control_socket = str(tmp_path / "another")
    kept.turn_until_it_answers(str(tmp_path / "another"))
    assert kept.background.flush(30)
    assert os.listdir(tmp_path) == ["another"]


@pytest.mark.parametrize(
    ("path", "trouble"),
    [("\0abstract", "embedded null"), ("/tmp/" + "x" * 120, "too long"), ("/\udfff", "encode")],
)
def test_path_that_cannot_be_is_said_once(
    kept: Kept, caplog: pytest.LogCaptureFixture, path: str, trouble: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(kept.keeper, "_wanted_path", lambda: path)
    for _ in range(3):
        kept.keeper.turn()
        assert kept.background.flush(30)
        kept.loop.run_once(0.01)
    [said] = caplog.messages
    assert said.startswith("Failed to start control socket: ")
    assert trouble in said


def test_setting_of_none_closes_the_door(kept: Kept) -> None:
    """A reload may say so; gunicorn, which looks at its start only, takes that as a string."""
    setting = SimpleNamespace(default="/run/gunicorn.ctl")
    kept.cfg.control_socket_disable, kept.cfg.settings = False, {"control_socket": setting}
    kept.cfg.control_socket, kept.settings.control_socket = kept.path, None
    kept.turn_until_it_answers(kept.path)
    kept.cfg.control_socket = None
    kept.keeper.turn()
    assert not kept.door.is_listening
    assert kept.background.flush(30)
    assert not os.path.exists(kept.path)


def test_user_who_cannot_be_is_said_once(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.cfg.control_socket_disable, kept.cfg.settings = False, {"control_socket": SimpleNamespace(default="")}
    kept.cfg.control_socket, kept.settings.control_socket = "~\0/ctl", None
    for _ in range(3):
        kept.keeper.turn()
    assert caplog.messages == ["Failed to start control socket: embedded null byte"]


def test_disk_that_hangs_keeps_no_door_open_against_the_settings(kept: Kept, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.delenv(CONTROL_SOCKET, raising=False)
    kept.turn_until_it_answers(kept.path)
    disk = Disk(monkeypatch)
    while not disk.entered.is_set():
        kept.keeper.turn()
        kept.loop.run_once(0.01)
    kept.settings.control_socket = None
    kept.keeper.turn()
    assert not kept.door.is_listening
    disk.recover()


def test_mode_that_a_reload_changes_is_applied(kept: Kept) -> None:
    kept.turn_until_it_answers(kept.path)
    kept.cfg.control_socket_mode = 0o660
    for _ in range(3):
        kept.keeper.turn()
        assert kept.background.flush(30)
        kept.loop.run_once(0.01)
    assert stat.S_IMODE(os.stat(kept.path).st_mode) == 0o660
    kept.turn_until_it_answers(kept.path)


def test_mode_that_cannot_be_is_said_once(kept: Kept, caplog: pytest.LogCaptureFixture) -> None:
    kept.cfg.control_socket_mode = 2**40
    for _ in range(3):
        kept.keeper.turn()
        assert kept.background.flush(30)
        kept.loop.run_once(0.01)
    [said] = caplog.messages
    assert said.startswith("Failed to start control socket: ")
    assert "C int" in said
