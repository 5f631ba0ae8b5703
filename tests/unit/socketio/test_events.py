"""What workers tell each other of an event: its text as clients read it, and whom it is for."""

from __future__ import annotations

from typing import Any, Final

import pytest
from socketio import packet
from socketio.manager import Manager

from nodecluster_compat.errors import FrameError
from nodecluster_compat.socketio import ClusterManager
from nodecluster_compat.socketio.events import ENCODED, is_encoded, pack_event, unpack_event
from nodecluster_compat.socketio.wire import Told

TEXT: Final = '2["told",1]'


class Server:
    """As python-socketio's: it notes what it sends to whom."""

    packet_class: type[packet.Packet] = packet.Packet

    def __init__(self) -> None:
        self.sent: list[tuple[str, str]] = []

    def _send_eio_packet(self, eio_sid: str, engine_packet: Any) -> None:
        self.sent.append((eio_sid, engine_packet.encode()))


def told(**changes: Any) -> Told:
    base = {"method": "emit", "event": "told", "data": [1], "binary": False, "namespace": "/", "room": "room"}
    return {**base, "skip_sid": None, "callback": None, "host_id": "abc.3", **changes}


def with_clients(manager: Any) -> Any:
    manager.server = Server()
    for number in (1, 2, 3):
        manager.basic_enter_room(f"sid{number}", "/", None, eio_sid=f"eio{number}")
        manager.basic_enter_room(f"sid{number}", "/", "room" if number < 3 else "other", eio_sid=f"eio{number}")
    return manager


@pytest.mark.parametrize("room", [None, "room", ["room", "other"]])
@pytest.mark.parametrize("skip_sid", [None, "sid1", ["sid1", "sid3"]])
def test_an_event_is_what_it_was(room: Any, skip_sid: Any) -> None:
    body = pack_event(told(room=room, skip_sid=skip_sid), TEXT)
    assert body is not None
    assert is_encoded(body)
    expected = told(room=room, skip_sid=skip_sid)
    for name in ("event", "data", "binary"):
        del expected[name]
    assert unpack_event(body) == {**expected, ENCODED: TEXT}


@pytest.mark.parametrize("change", [{"room": object()}, {"room": 5}, {"skip_sid": ["a", b"b"]}])
def test_other_rooms_are_left_to_json(change: dict[str, Any]) -> None:
    assert pack_event(told(**change), TEXT) is None


@pytest.mark.parametrize("body", [b"\x01", b"\x01\xc1", b"\x01\x95\x01\xc0\xc0\xa1a\xa1b", b"\x01\x91\xa1/"])
def test_what_is_no_event_is_refused(body: bytes) -> None:
    with pytest.raises(FrameError):
        unpack_event(body)


@pytest.mark.parametrize("data", ["text", None, (), ("a", 1), [1, 2], [], {"a": [None, "ä"]}, ((1, 2),), (None,), True])
@pytest.mark.parametrize("room", [None, "room", "nobody", ["room", "other"]])
def test_clients_hear_what_python_socketio_would_say(data: Any, room: Any) -> None:
    """Here, and in the worker that is told."""
    ours, theirs = with_clients(ClusterManager()), with_clients(Manager())
    other = with_clients(ClusterManager())
    posted: list[bytes] = []
    ours._publish = lambda one: posted.append(ours._packed(one))
    ours.emit("told", data, namespace="/", room=room, skip_sid="sid2")
    # as PubSubManager takes arguments apart before it gives them to Manager
    given = data[0] if isinstance(data, tuple) and len(data) == 1 else data
    theirs.emit("told", given, namespace="/", room=room, skip_sid="sid2")
    assert ours.server.sent == theirs.server.sent
    assert is_encoded(posted[0])
    other._handle_emit(unpack_event(posted[0]))
    assert other.server.sent == theirs.server.sent


@pytest.mark.parametrize(
    "options",
    [{"data": b"bytes"}, {"data": ["a", b"bytes"]}, {"data": 1, "callback": print}],
    ids=["binary", "among others", "acknowledged"],
)
def test_bytes_and_acknowledgements_are_python_socketios(options: dict[str, Any]) -> None:
    ours = with_clients(ClusterManager())
    posted: list[bytes] = []
    ours.server._send_packet = lambda *_: None
    ours._publish = lambda one: posted.append(ours._packed(one))
    ours.emit("told", namespace="/", room="room", **options)
    assert not is_encoded(posted[0])


def test_what_is_no_json_is_refused_as_ever() -> None:
    with pytest.raises(TypeError):
        with_clients(ClusterManager()).emit("told", object(), namespace="/", room="room")


def test_packets_of_another_kind_are_python_socketios() -> None:
    class Other(packet.Packet):  # type: ignore[misc]  # Socket.IO has no types
        pass

    ours = with_clients(ClusterManager())
    ours.server.packet_class = Other
    posted: list[bytes] = []
    ours._publish = lambda one: posted.append(ours._packed(one))
    ours.emit("told", 1, namespace="/", room="room")
    assert not is_encoded(posted[0])
