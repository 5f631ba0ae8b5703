"""An admin address that cannot be had is said once, by the name of what has asked for it."""

from __future__ import annotations

import logging
import socket
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat._gunicorn.arbiter import admin_keeper
from nodecluster_compat._gunicorn.arbiter.admin_keeper import AdminKeeper
from nodecluster_compat._gunicorn.arbiter.complaint import Complaint
from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.variables import ADMIN
from nodecluster_compat.operations.routes import Routes


def keeper(monkeypatch: pytest.MonkeyPatch, setting: str | None, loop: Loop) -> AdminKeeper:
    log = logging.getLogger("test.admin")
    arbiter = SimpleNamespace(loop=loop, log=log, master_pid=0)
    monkeypatch.setattr(admin_keeper, "settings_in_force", lambda: SimpleNamespace(admin=setting))
    return AdminKeeper(cast("Any", arbiter), cast("Any", SimpleNamespace(is_in_charge=True)), Routes())


@pytest.mark.parametrize(
    ("setting", "variable", "source"), [("nonsense", "127.0.0.1:0", "admin"), (None, "nonsense", ADMIN)]
)
def test_address_that_is_none_is_said_by_its_source(
    monkeypatch: pytest.MonkeyPatch,
    caplog: pytest.LogCaptureFixture,
    setting: str | None,
    variable: str,
    source: str,
) -> None:
    monkeypatch.setenv(ADMIN, variable)
    monkeypatch.setattr(admin_keeper, "_AGAIN_SECONDS", 0.0)
    loop = Loop(logging.getLogger("test.loop"))
    made = keeper(monkeypatch, setting, loop)
    for _ in range(3):
        made.turn()
    [said] = caplog.messages
    assert said.startswith(f"No admin address: expected {source} to be an address and a port, such as")
    made.close()
    loop.close()


def test_address_in_use_is_had_once_it_is_free(
    monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    monkeypatch.setattr(admin_keeper, "_AGAIN_SECONDS", 0.0)
    caplog.set_level(logging.INFO)
    loop = Loop(logging.getLogger("test.loop"))
    with socket.create_server(("127.0.0.1", 0)) as other:
        port = other.getsockname()[1]
        made = keeper(monkeypatch, f"127.0.0.1:{port}", loop)
        made.turn()
        made.turn()
    made.turn()
    first, second = caplog.messages
    assert first.startswith(f"No admin address for now, 127.0.0.1:{port} cannot be had: ")
    assert second == f"Admin address: http://127.0.0.1:{port}/"
    made.close()
    loop.close()


def test_same_trouble_is_said_again_after_it_was_over() -> None:
    said: list[str] = []
    complaint = Complaint(lambda _, text: said.append(text))
    for trouble in ("a", "a", "b", "a"):
        complaint.say(trouble)
    complaint.withdraw()
    complaint.say("a")
    assert said == ["a", "b", "a", "a"]
