"""With ``recovery`` a manager keeps the rooms of each client beside it: nobody looks through all rooms for them."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any, Final

import pytest
from stand_in_seat import StandInSeat

from nodecluster_compat.socketio import ClusterManager

SID: Final = "sid"


class Rooms(dict[Any, Any]):
    """Rooms of a namespace, which threads enter and leave meanwhile: whoever walks over them fails."""

    def __iter__(self) -> Any:
        pytest.fail("somebody walks over all rooms")

    items = values = keys = __iter__

    def copy(self) -> dict[Any, Any]:
        return dict(dict.items(self))  # in one step, as python-socketio's own


@pytest.fixture
def manager() -> Any:
    """With one client, whose socket is ``eio``."""
    made: Any = ClusterManager(recovery=60)
    StandInSeat(made)
    socket = SimpleNamespace(session={"/": {}}, closed=False, upgraded=True)
    made.server = SimpleNamespace(eio=SimpleNamespace(sockets={"eio": socket}))
    made.rooms["/"] = Rooms()
    for room in (None, SID):
        made.basic_enter_room(SID, "/", room, eio_sid="eio")
    made._admit_newcomer(SID, "/")
    made._seat.told.clear()
    return made


def told_rooms(manager: Any) -> list[list[str]]:
    return [one["rooms"] for _, told in manager._seat.told if told["method"] == "session" for one in told["sessions"]]


def test_others_are_told_of_each_change_of_rooms(manager: Any) -> None:
    for room in ("b", "a", "a"):
        manager.basic_enter_room(SID, "/", room)
    manager.basic_leave_room(SID, "/", "b")
    manager.basic_leave_room(SID, "/", "never entered")
    assert told_rooms(manager) == [["b"], ["b", "a"], ["a"]]


def test_who_tells_of_a_change_waits_for_nothing(manager: Any) -> None:
    """It holds a lock, and whoever writes to the primary may want that."""
    manager.basic_enter_room(SID, "/", "a")
    assert manager._seat.waited_for == []


def test_who_saves_a_session_tells_its_rooms(manager: Any) -> None:
    manager.basic_enter_room(SID, "/", "a")
    manager.save_session(SID, {"user": "Ada"})
    assert told_rooms(manager) == [["a"], ["a"]]
    [session] = manager._seat.told[-1][1]["sessions"]
    assert session["data"] == {"user": "Ada"}


def test_a_connection_that_breaks_leaves_its_rooms(manager: Any) -> None:
    manager.basic_enter_room(SID, "/", "a")
    manager._ending.add("eio")
    manager.sid_from_eio_sid = lambda *_: SID
    manager._breaks("eio", "/")
    manager.basic_disconnect(SID, "/")
    [session] = manager.memory.sessions
    assert session.rooms == ["a"]
    assert session.left_at is not None
    assert told_rooms(manager)[-1] == ["a"]
