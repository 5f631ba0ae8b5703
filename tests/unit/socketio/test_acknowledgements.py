"""Who awaits an acknowledgement of a client that is gone awaits nothing."""

from __future__ import annotations

import asyncio
import os
from types import SimpleNamespace
from typing import Any, Final, cast

import pytest
from socketio import AsyncServer, Server

from nodecluster_compat.sharing.remote_groups import FIRST_REMOTE
from nodecluster_compat.socketio import AsyncClusterManager, ClusterManager

OWN, ASKER = 2, 1
SID: Final = f"wGf0hLQyoVuhV3R6AAAA.{OWN}"
GONE: Final = {"method": "gone", "sid": SID}


def seated(manager: Any, *members: int) -> list[tuple[int, dict[str, Any]]]:
    """Seat a manager among other workers; return what it tells to whom."""
    told: list[tuple[int, dict[str, Any]]] = []
    manager._seat = cast("Any", SimpleNamespace(worker_id=OWN))
    manager._seat_pid = os.getpid()
    manager.members = frozenset(members)
    manager._tell = lambda target, message: told.append((target, message))
    return told


def asks(manager: Any, room: str = SID) -> None:
    """Another worker emits, and awaits an acknowledgement."""
    emit = {"method": "emit", "room": room, "namespace": "/", "callback": [room, "/", 1], "host_id": f"name.{ASKER}"}
    manager._unpacked(emit, ASKER)


def test_who_asks_a_client_that_is_gone_is_told_so_at_once() -> None:
    manager = ClusterManager()
    told = seated(manager, ASKER)
    asks(manager)
    assert told == [(ASKER, GONE)]


@pytest.mark.parametrize("is_connected", [True, False], ids=["connected", "still connecting"])
def test_who_asks_a_client_that_is_here_is_told_when_it_goes(is_connected: bool) -> None:
    manager = ClusterManager()
    told = seated(manager, ASKER)
    manager.basic_enter_room(SID, "/", None, eio_sid="eio")
    manager.pending_connect = {} if is_connected else {"/": [SID]}
    asks(manager)
    assert told == []
    manager.basic_disconnect(SID, "/")
    assert told == [(ASKER, GONE)]


def test_a_client_that_is_asked_in_a_namespace_where_it_is_not_has_not_left() -> None:
    """What else is awaited of it may come."""
    manager = ClusterManager()
    Server(async_mode="threading", client_manager=manager)
    told = seated(manager, ASKER)
    manager.basic_enter_room(SID, "/second", None, eio_sid="eio")
    asks(manager)
    manager.emit("told", 1, namespace="/second", room=SID, callback=print)
    manager.emit("told", 1, namespace="/", room=SID, callback=print)
    assert told == []
    assert list(manager.callbacks) == [SID]
    manager.basic_disconnect(SID, "/second")
    assert told == [(ASKER, GONE)]


@pytest.mark.parametrize(("room", "member"), [("room", ASKER), (f"{SID}1", ASKER), (SID, FIRST_REMOTE)])
def test_nothing_is_said_of_whom_another_worker_may_have(room: str, member: int) -> None:
    """The number in an id is one of its own host."""
    manager = ClusterManager()
    told = seated(manager, member)
    asks(manager, room)
    assert told == []


def test_callback_of_an_own_client_that_is_gone_is_not_kept() -> None:
    manager = ClusterManager()
    Server(async_mode="threading", client_manager=manager)
    seated(manager, ASKER)
    manager.emit("told", 1, room=SID, callback=print)
    assert manager.callbacks == {}
    manager.basic_enter_room(SID, "/", None, eio_sid="eio")
    manager.emit("told", 1, room=SID, callback=print)
    assert SID in manager.callbacks


def test_so_it_is_in_a_task() -> None:
    async def run() -> None:
        manager = AsyncClusterManager()
        AsyncServer(async_mode="asgi", client_manager=manager)
        seated(manager, ASKER)
        await manager.emit("told", 1, room=SID, callback=print)
        assert manager.callbacks == {}

    asyncio.run(run())
