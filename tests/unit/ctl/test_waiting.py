"""Whoever waits for the end of something lives through a connection that breaks."""

from __future__ import annotations

import socket
import threading
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from control_stand_in import ControlStandIn

from nodecluster_compat.ctl import client as client_module
from nodecluster_compat.ctl.client import ControlClient, Gone, Refused
from nodecluster_compat.ctl.waiting import wait_for_reload

REPORT = {"number": 1, "state": "succeeded", "reason": None, "seconds": 1.0}


def status(report: Any) -> dict[str, Any]:
    return {"reload": report, "generation": 0, "workers": [], "listening": 1, "ending": 0}


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "ctl")


def after_a_break(path: str, is_another: bool, monkeypatch: pytest.MonkeyPatch) -> Any:
    """Ask one server for a reload, and another one for the end of it."""
    with ControlStandIn(path, {"cluster status": lambda: status(None)}):
        client = ControlClient(path)
        client.ask("cluster status")
    Path(path).unlink()
    if is_another:
        monkeypatch.setattr(client, "server_pid", 1)
    with client, ControlStandIn(path, {"cluster status": lambda: status(REPORT)}):
        return wait_for_reload(client, 0, 30, lambda _: None)


def test_connection_that_breaks_is_made_again(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    assert after_a_break(path, False, monkeypatch) == REPORT


def test_other_server_knows_nothing_of_the_reload(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reloads have other numbers: it would be waited for in vain, or believed."""
    with pytest.raises(Refused, match=r"is not known: the server with pid \d+ has taken its place"):
        after_a_break(path, True, monkeypatch)


def test_server_that_answers_nobody_has_gone(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """It closes each connection at once, as one does that has too many."""
    monkeypatch.setattr(client_module, "_PATIENCE", 0.2)
    with socket.socket(socket.AF_UNIX) as server:
        server.bind(path)
        server.listen()
        thread = threading.Thread(target=refuse_all, args=(server,))
        thread.start()
        with ControlClient(path) as client, pytest.raises(Gone, match="has gone"):
            wait_for_reload(client, 0, 30, lambda _: None)
        server.shutdown(socket.SHUT_RDWR)
        thread.join()


def refuse_all(server: socket.socket) -> None:
    with suppress(OSError):
        while True:
            server.accept()[0].close()


def test_server_that_is_not_replaced_has_gone(path: str, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(client_module, "_PATIENCE", 0.2)
    with ControlStandIn(path, {}):
        client = ControlClient(path)
    with client, pytest.raises(Gone, match="has gone"):
        wait_for_reload(client, 0, 30, lambda _: None)
