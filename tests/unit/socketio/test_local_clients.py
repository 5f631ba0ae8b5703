"""What a worker says of its own clients: one walk over their rooms, whatever other threads do meanwhile."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

from bidict import bidict
from socketio import Server

from nodecluster_compat.socketio import ClusterManager, RemoteSocket

CLIENTS = 30


class Rooms(dict[Any, Any]):
    """The rooms of a namespace; how often somebody has gone over all of them."""

    walks = 0

    def items(self) -> Any:
        self.walks += 1
        return super().items()

    def copy(self) -> dict[Any, Any]:
        self.walks += 1
        return super().copy()


def manager_of_clients() -> ClusterManager:
    """Each has a room of its own, one that it shares with all, and one that nobody else is in."""
    manager = ClusterManager()
    server = Server(async_mode="threading", client_manager=manager)
    for number in range(CLIENTS):
        sid, eio_sid = f"sid-{number}", f"eio-{number}"
        server.eio.sockets[eio_sid] = SimpleNamespace(session={"/": {"number": number}}, upgraded=True)
        for room in (None, sid, "lobby", f"only-{number}"):
            manager.basic_enter_room(sid, "/", room, eio_sid=eio_sid)
    return manager


def test_clients_are_fetched_by_one_walk_over_all_rooms() -> None:
    manager = manager_of_clients()
    manager.rooms["/"] = rooms = Rooms(manager.rooms["/"])
    fetched = manager.fetch_sockets("lobby")
    assert rooms.walks == 1
    assert fetched == [
        RemoteSocket(
            f"sid-{number}",
            "/",
            [f"sid-{number}", "lobby", f"only-{number}"]
            if number == 0
            else ["lobby", f"sid-{number}", f"only-{number}"],
            {"number": number},
            "websocket",
            None,
            0,
        )
        for number in range(CLIENTS)
    ]


def test_clients_of_a_small_room_have_all_their_rooms() -> None:
    (fetched,) = manager_of_clients().fetch_sockets("only-7")
    assert (fetched.sid, sorted(fetched.rooms)) == ("sid-7", ["lobby", "only-7", "sid-7"])


def test_a_client_may_come_while_the_rooms_of_another_are_looked_for() -> None:
    """In a thread of its own: here while it is asked who is in a room."""
    manager = manager_of_clients()

    class Room(bidict):  # type: ignore[type-arg]
        def __contains__(self, sid: object) -> bool:
            manager.basic_enter_room("newcomer", "/", "newcomer", eio_sid="eio of newcomer")
            return super().__contains__(sid)

    manager.rooms["/"]["sid-0"] = Room(manager.rooms["/"]["sid-0"])
    assert sorted(manager.get_rooms("sid-3", "/")) == ["lobby", "only-3", "sid-3"]
    assert len(manager.fetch_sockets()) == CLIENTS
