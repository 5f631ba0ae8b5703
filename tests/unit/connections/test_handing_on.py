"""Connections that workers hand on to each other through the engine: whole, once, and with a defined answer always."""

from __future__ import annotations

import os
import socket
from collections.abc import Iterator

import pytest
from engine_rig import EngineRig, Played
from own_descriptors import own_descriptors

from nodecluster_compat.connections.handed import MOST_HANDED_BYTES, Handed, read_handed, write_handed
from nodecluster_compat.connections.kernel_check import kernel_tells_what_was_taken
from nodecluster_compat.connections.packets import PacketKind, encode_packet
from nodecluster_compat.errors import FrameError

READ = Handed(socket.AF_INET, ("10.0.0.1", 5), b"GET / HTTP/1.1\r\n")


@pytest.fixture(params=["edges", "answers"])
def rig(no_leaks: None, request: pytest.FixtureRequest) -> Iterator[EngineRig]:
    kernel_tells_what_was_taken()
    made = EngineRig(request.param == "answers")
    yield made
    made.close()


def hand_on(rig: EngineRig, worker: Played, target: int, listener_id: int = 1) -> None:
    """The worker has taken a connection, and hands it on."""
    memory = write_handed(READ)
    connection = worker.has.pop()
    worker.route(listener_id, target, connection, memory)
    os.close(memory)
    os.close(connection)
    rig.turn()


def check_served(rig: EngineRig, worker: Played) -> None:
    """It got what was read, and the connection of the last client, from which it can be answered."""
    connection, memory = worker.take_handed()
    assert read_handed(memory) == READ
    with socket.socket(fileno=connection) as served:
        served.sendall(b"answer")
    assert rig.clients[-1].recv(100) == b"answer"
    assert rig.clients[-1].recv(100) == b""  # nobody else has it


def test_connection_goes_to_its_worker_with_what_was_read_of_it(rig: EngineRig) -> None:
    one, two, three = rig.worker(), rig.worker(), rig.worker()
    rig.connect()
    one.take()
    hand_on(rig, one, three.id)
    assert not two.has_offer()
    check_served(rig, three)


@pytest.mark.parametrize("target", [0, 2, 99], ids=["anybody", "gone", "unknown"])
def test_without_such_a_worker_it_is_dealt_to_whoever_is_next(rig: EngineRig, target: int) -> None:
    one, two, three = rig.worker(), rig.worker(), rig.worker()
    rig.connect()
    one.take()
    rig.engine.lost(two.id)
    hand_on(rig, one, target)
    check_served(rig, three)


def test_it_waits_for_its_worker_and_holds_up_no_other(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    rig.connect()
    rig.connect()  # lies in the second's channel
    one.take()
    hand_on(rig, one, two.id)
    client = rig.clients[0]
    rig.connect()
    assert one.has_offer()
    two.take()
    rig.turn()
    rig.clients.append(client)
    check_served(rig, two)
    rig.clients.pop()


def test_target_that_dies_with_it_in_its_channel_loses_nothing(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    rig.connect()
    one.take()
    hand_on(rig, one, two.id)
    assert two.has_offer()
    rig.engine.lost(two.id)
    rig.turn()
    check_served(rig, one)


def test_target_that_refuses_it_gets_it_again_when_it_has_room(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    rig.connect()
    one.take()
    hand_on(rig, one, two.id)
    connection, memory = two.take_handed()
    socket.send_fds(two.sock, [encode_packet(PacketKind.REFUSED, 1)], [connection, memory])
    os.close(connection)
    os.close(memory)
    rig.turn()
    assert rig.waiting() == 1
    assert not one.has_offer()
    two.say(PacketKind.ROOM, 1)
    rig.turn()
    check_served(rig, two)


def test_worker_that_leaves_hands_on_what_it_still_has(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    rig.connect()
    one.take()
    one.say(PacketKind.LEAVE)
    rig.turn()
    assert rig.left == [one.id]
    hand_on(rig, one, two.id)
    check_served(rig, two)
    one.sock.close()
    rig.turn()


def test_client_that_has_left_is_not_looked_for_behind_what_was_read(rig: EngineRig) -> None:
    """It may have sent a request and shut its side: that was read."""
    one, two = rig.worker(), rig.worker()
    rig.connect()
    rig.connect()
    one.take()
    rig.clients[0].shutdown(socket.SHUT_WR)
    hand_on(rig, one, two.id)
    listener = next(iter(rig.engine.listeners))
    assert listener.drop_those_that_left(listener.waiting) == 0
    two.take()
    rig.turn()
    rig.clients.append(rig.clients[0])
    check_served(rig, two)
    rig.clients.pop()


def test_without_a_second_descriptor_it_counts_as_untouched(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    rig.connect()
    one.take()

    socket.send_fds(one.sock, [encode_packet(PacketKind.ROUTE, 1, two.id)], [one.has[-1]])
    rig.turn()
    assert two.take() == 1


def test_worker_that_hands_on_what_is_no_connection_loses_its_channel(rig: EngineRig) -> None:
    one = rig.worker()
    memory = write_handed(READ)
    one.route(1, 2, memory, memory)
    os.close(memory)
    rig.turn()
    assert rig.closed == [(one.id, True)]


def test_worker_that_hands_on_for_a_listener_that_never_was_loses_its_channel(rig: EngineRig) -> None:
    one, _ = rig.worker(), rig.worker()
    rig.connect()
    one.take()
    hand_on(rig, one, 2, listener_id=77)
    assert rig.closed == [(one.id, True)]
    assert rig.clients[-1].recv(1) == b""


def test_connections_are_counted_where_they_are(rig: EngineRig) -> None:
    one, two = rig.worker(), rig.worker()
    ended = {1: 0, 2: 0}
    rig.engine.listeners.count_ended = ended.__getitem__
    rig.connect()
    assert (one.end.handed, two.end.handed) == (1, 0)
    one.take()
    hand_on(rig, one, two.id)
    assert (one.end.handed, two.end.handed) == (1, 1)  # the first says itself that it has ended there
    rig.engine.lost(two.id)
    rig.turn()
    assert one.end.handed == 2


def test_primary_looks_once_where_a_worker_routes_and_only_then(rig: EngineRig) -> None:
    one, two, three = rig.worker(), rig.worker(), rig.worker()
    seen: list[bytes] = []

    def look(data: bytes) -> int:
        seen.append(data)
        return three.id if data == b"third" else 0

    rig.engine.listeners.look = look
    rig.connect()
    one.take()
    assert seen == []
    two.say(PacketKind.LOOK)
    rig.turn()
    client = socket.create_connection(rig.socks[0].getsockname())
    client.sendall(b"third")
    rig.clients.append(client)
    rig.turn()
    assert seen == [b"third"]
    three.take()
    with socket.socket(fileno=three.has.pop()) as served:
        assert served.recv(100) == b"third"  # it was only looked at
    rig.connect()
    assert seen == [b"third"]  # nothing has come
    rig.engine.lost(two.id)
    rig.connect()
    assert seen == [b"third"]


@pytest.mark.parametrize("peer", [("10.0.0.1", 5), ("::1", 5, 0, 0), "", "/run/x", None])
def test_what_was_read_is_what_arrives(peer: object) -> None:
    handed = Handed(socket.AF_INET6, peer, bytes(range(256)) * 100)  # type: ignore[arg-type]
    assert read_handed(write_handed(handed)) == handed


def test_more_than_a_megabyte_is_not_handed_on() -> None:
    read_handed(write_handed(Handed(2, None, bytes(MOST_HANDED_BYTES))))
    with pytest.raises(ValueError, match="bytes at most"):
        write_handed(Handed(2, None, bytes(MOST_HANDED_BYTES + 1)))


def test_what_a_hostile_worker_hands_on_is_refused() -> None:
    before = len(own_descriptors())
    for content in (b"", b"nonsense", bytes(2 * MOST_HANDED_BYTES), b"\x93\x02\xc0\xc0"):
        memory = os.memfd_create("hostile")
        os.write(memory, content)
        with pytest.raises(FrameError):
            read_handed(memory)
    reading, writing = os.pipe()
    for fd in (reading, writing, os.open("/dev/zero", os.O_RDONLY), socket.socket().detach()):
        with pytest.raises(FrameError):
            read_handed(fd)
    assert len(own_descriptors()) == before


def test_memory_that_takes_a_part_is_closed_and_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    """Its reader could decode none of it; the worker that has read the request answers it itself."""
    before = own_descriptors()
    monkeypatch.setattr(os, "write", lambda fd, data: len(data) - 1)
    with pytest.raises(OSError, match="memory"):
        write_handed(READ)
    assert not own_descriptors().items() - before.items()
