"""Whether a log can be opened is found out on a thread, and a thread that hangs is left alone."""

from __future__ import annotations

import json
import logging
import os
import socket
import threading
from collections.abc import Iterator
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter import log_probe
from nodecluster_compat._gunicorn.arbiter.log_probe import LogProbe
from nodecluster_compat._gunicorn.arbiter.log_targets import LogTarget
from nodecluster_compat.errors import SettingsError
from nodecluster_compat.machine.helper_thread import HelperThread
from nodecluster_compat.operations.stuck_handlers import known_handlers


def settings(**own: Any) -> Any:
    usual = {"accesslog": None, "errorlog": "-", "logconfig": None, "logconfig_dict": {}, "logconfig_json": None}
    return SimpleNamespace(**{**usual, "syslog": False, "syslog_addr": "", **own})


def opened(probe: LogProbe, **own: Any) -> None:
    with probe.opened(settings(**own)):
        pass


def wait_until_it_goes_on(probe: LogProbe) -> None:
    while probe._stuck is not None and probe._stuck.is_running:
        os.sched_yield()


def give_up_once_it_is_there(monkeypatch: pytest.MonkeyPatch) -> threading.Event:
    """Let a probe wait hardly, but not before the event: its thread may begin late."""
    monkeypatch.setattr(log_probe, "_SECONDS", 0.01)
    is_there, outcome = threading.Event(), log_probe._Trial._outcome

    def late(trial: Any) -> str:
        assert is_there.wait(30)
        return outcome(trial)

    monkeypatch.setattr(log_probe._Trial, "_outcome", late)
    return is_there


def test_disk_that_hangs_is_said_and_asked_by_one_thread_only(monkeypatch: pytest.MonkeyPatch) -> None:
    is_there = give_up_once_it_is_there(monkeypatch)
    asked: list[str] = []
    goes_on = threading.Event()

    def hang(_: object, path: str) -> None:
        asked.append(path)
        is_there.set()
        goes_on.wait(30)

    monkeypatch.setattr(log_probe._Trial, "_open", hang)
    probe = LogProbe()
    for _ in range(3):
        with pytest.raises(SettingsError, match=r"\(/mnt/log\) to be opened within 0.01 s"):
            opened(probe, errorlog="/mnt/log", accesslog="/mnt/access")
    assert asked == ["/mnt/log"]
    goes_on.set()
    wait_until_it_goes_on(probe)
    monkeypatch.undo()
    opened(probe)


def test_files_that_can_be_opened_or_not_hold_up_nothing(tmp_path: Path) -> None:
    """What cannot be opened at all is told by gunicorn, as ever."""
    missing = str(tmp_path / "missing" / "log")
    config = {"handlers": {"one": {"filename": str(tmp_path / "one")}, "other": {"class": "x"}}}
    opened(LogProbe(), errorlog=missing, accesslog=str(tmp_path / "access"), logconfig_dict=config)
    assert sorted(os.listdir(tmp_path)) == ["access", "one"]


def test_what_fails_at_once_does_not_hang(tmp_path: Path) -> None:
    """A socket, which ``/dev/stderr`` is under systemd, gives the error of a FIFO that nobody reads."""
    path = str(tmp_path / "socket")
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        opened(LogProbe(), errorlog=path)
    opened(LogProbe(), errorlog="\0")
    opened(LogProbe(), logconfig=str(tmp_path / "missing"))


def test_reader_of_a_fifo_stays_while_the_log_is_set_up(tmp_path: Path) -> None:
    """It sees no end of it between the probe and whoever opens it for good; and one that leaves is no trouble."""
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    reader = os.open(fifo, os.O_RDONLY | os.O_NONBLOCK)
    with LogProbe().opened(settings(errorlog=str(fifo))):
        with pytest.raises(BlockingIOError):
            os.read(reader, 1)
        os.close(reader)
        os.close(os.open(fifo, os.O_WRONLY | os.O_NONBLOCK))
    with pytest.raises(SettingsError, match=rf"\({fifo}\) to be opened"):
        opened(LogProbe(), errorlog=str(fifo))


@pytest.fixture
def deaf(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[str]:
    """Return the path of a socket that accepts nobody."""
    is_there, connect = give_up_once_it_is_there(monkeypatch), log_probe._connect

    def connecting(target: LogTarget) -> None:
        is_there.set()
        connect(target)

    monkeypatch.setattr(log_probe, "_connect", connecting)
    path = str(tmp_path / "syslog")
    with socket.socket(socket.AF_UNIX) as server, socket.socket(socket.AF_UNIX) as client:
        server.bind(path)
        server.listen(0)
        client.connect(path)
        yield path


FILE = """
[handlers]
keys = one
[handler_one]
class = handlers.SysLogHandler
args = ({path!r}, handlers.SysLogHandler.LOG_USER)
kwargs = {{"socktype": handlers.socket.SOCK_STREAM}}
"""


@pytest.mark.parametrize("way", ["syslog", "logconfig_dict", "logconfig_json", "logconfig"])
def test_syslog_that_accepts_nobody_hangs(deaf: str, way: str, tmp_path: Path) -> None:
    handler = {"class": "logging.handlers.SysLogHandler", "address": deaf, "socktype": socket.SOCK_STREAM}
    (tmp_path / "log.json").write_text(json.dumps({"handlers": {"one": handler}}))
    (tmp_path / "log.ini").write_text(FILE.format(path=deaf))
    own: dict[str, dict[str, Any]] = {
        "syslog": {"syslog": True, "syslog_addr": f"unix://{deaf}#stream"},
        "logconfig_dict": {"logconfig_dict": {"handlers": {"one": handler | {"socktype": "ext://socket.SOCK_STREAM"}}}},
        "logconfig_json": {"logconfig_json": str(tmp_path / "log.json")},
        "logconfig": {"logconfig": str(tmp_path / "log.ini")},
    }
    probe = LogProbe()
    with pytest.raises(SettingsError, match=rf"expected the log \(syslog {deaf}\)"):
        opened(probe, **own[way])
    assert probe._stuck is not None
    wakes = probe._stuck._thread._wakes
    pid = os.fork()
    if not pid:
        probe.abandon()
        os._exit(os.path.exists(f"/proc/self/fd/{wakes}"))
    assert os.waitpid(pid, 0)[1] == 0


def test_file_of_a_configuration_file_is_opened(tmp_path: Path) -> None:
    path = tmp_path / "log.ini"
    path.write_text("[handlers]\nkeys=a\n[handler_a]\nclass=FileHandler\nargs=('%(here)s/log', 'a')\n")
    opened(LogProbe(), logconfig=str(path))
    assert (tmp_path / "log").exists()


def test_system_without_threads_fails_the_reload(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    def none(_: object) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr(HelperThread, "_begin", none)
    with pytest.raises(SettingsError, match="the system has none"):
        opened(LogProbe(), errorlog=str(tmp_path / "log"))


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
    opened(LogProbe())
    assert handler not in known_handlers()
    goes_on.set()
    thread.join()
