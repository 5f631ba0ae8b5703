"""Whether a log can be opened is found out on a thread, and a thread that hangs is left alone."""

from __future__ import annotations

import logging
import os
import socket
import threading
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import log_probe
from nodecluster_compat._gunicorn.arbiter.log_probe import LogProbe
from nodecluster_compat.errors import SettingsError


def settings(**own: Any) -> Any:
    usual = {"accesslog": None, "errorlog": "-", "logconfig": None, "logconfig_dict": {}, "logconfig_json": None}
    return SimpleNamespace(**{**usual, "syslog": False, "syslog_addr": "", **own})


def test_disk_that_hangs_is_said_and_asked_by_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_probe, "_SECONDS", 0.01)
    opened: list[str] = []
    goes_on = threading.Event()

    def hang(path: str, hanging: list[str]) -> None:
        opened.append(path)
        goes_on.wait(30)

    monkeypatch.setattr(log_probe, "_open", hang)
    probe = LogProbe()
    for _ in range(3):
        with pytest.raises(SettingsError, match=r"\(/mnt/log\) to be opened within 0.01 s"):
            probe.check(settings(errorlog="/mnt/log"))
    assert opened == ["/mnt/log"]
    goes_on.set()
    while probe._is_stuck():
        os.sched_yield()
    monkeypatch.undo()
    probe.check(settings())


def test_files_that_can_be_opened_or_not_hold_up_nothing(tmp_path: Path) -> None:
    """What cannot be opened at all is told by gunicorn, as ever."""
    missing = str(tmp_path / "missing" / "log")
    config = {"handlers": {"one": {"filename": str(tmp_path / "one")}, "other": {"class": "x"}}}
    LogProbe().check(settings(errorlog=missing, accesslog=str(tmp_path / "access"), logconfig_dict=config))
    assert sorted(os.listdir(tmp_path)) == ["access", "one"]


def test_syslog_that_accepts_nobody_hangs(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    monkeypatch.setattr(log_probe, "_SECONDS", 0.2)
    path = str(tmp_path / "syslog")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(0)
        client.connect(path)
        probe = LogProbe()
        with pytest.raises(SettingsError, match="expected the log"):
            probe.check(settings(syslog=True, syslog_addr=f"unix://{path}#stream"))
    while probe._is_stuck():
        os.sched_yield()


def test_handler_that_somebody_is_stuck_in_is_not_waited_for() -> None:
    """``logging.config`` closes all handlers, by their locks."""
    handler = logging.StreamHandler()
    held, goes_on = threading.Event(), threading.Event()

    def hold() -> None:
        handler.acquire()
        held.set()
        goes_on.wait(30)
        handler.release()

    thread = threading.Thread(target=hold)
    thread.start()
    held.wait(30)
    LogProbe().check(settings())
    assert handler not in log_probe.known_handlers()
    goes_on.set()
    thread.join()
