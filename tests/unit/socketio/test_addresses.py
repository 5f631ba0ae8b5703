"""Whom a message is for: a client's id names its worker, and a room may have a name that looks like one."""

from __future__ import annotations

import logging
import os
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat.sharing.group_desk import ALL_OTHERS
from nodecluster_compat.sharing.remote_groups import FIRST_REMOTE
from nodecluster_compat.socketio import ClusterManager
from nodecluster_compat.socketio.shared import NOWHERE

OWN, OTHER = 1, 2


def manager(*members: int) -> ClusterManager:
    made = ClusterManager()
    made._seat, made._seat_pid = cast("Any", SimpleNamespace(worker_id=OWN)), os.getpid()
    made.members = frozenset(members)
    return made


def emit(room: Any) -> dict[str, Any]:
    return {"method": "emit", "room": room, "namespace": "/"}


@pytest.mark.parametrize(
    ("room", "target"),
    [
        (f"wGf0hLQyoVuhV3R6AAAA.{OTHER}", OTHER),
        (f"wGf0hLQyoVuhV3R6AAAA.{OWN}", NOWHERE),
        ("wGf0hLQyoVuhV3R6AAAA.4711", ALL_OTHERS),
        ("room-3596-1796002745.7653508", ALL_OTHERS),
        ("room", ALL_OTHERS),
        (None, ALL_OTHERS),
    ],
)
def test_what_is_for_a_client_goes_to_its_worker_and_what_is_for_a_room_to_all(room: str | None, target: int) -> None:
    assert manager(OTHER)._target_of(emit(room)) == target


@pytest.mark.parametrize(
    ("room", "is_one"),
    [
        (f"wGf0hLQyoVuhV3R6AAAA.{OTHER}", True),
        (f"wGf0hLQyoVuhV3R6AAAA.{OWN}", True),
        ("room-3596-1796002745.7653508", False),
        ("room", False),
    ],
)
def test_a_room_of_a_client_is_entered_by_nobody_else(room: str, is_one: bool) -> None:
    assert manager(OTHER).is_sid_room("/", room) is is_one


def test_while_others_are_unknown_or_elsewhere_each_id_may_be_one() -> None:
    """The number in a client's id is one of its own host."""
    elsewhere, early = manager(FIRST_REMOTE), manager()
    early.members = None
    for one in (elsewhere, early):
        assert one.is_sid_room("/", "wGf0hLQyoVuhV3R6AAAA.4711")


def test_who_can_only_emit_in_a_process_that_is_no_worker_is_told_once(caplog: pytest.LogCaptureFixture) -> None:
    """Nobody hears it.  A manager that has clients of its own is heard by those."""
    for manager in (ClusterManager(logger=logging.getLogger("ours")), ClusterManager(write_only=True)):
        for _ in range(2):
            manager._publish({**emit("room"), "host_id": manager.host_id})
    assert [(one.name, one.levelname) for one in caplog.records] == [("socketio", "WARNING")]
    assert "this is no worker of a cluster" in caplog.text
