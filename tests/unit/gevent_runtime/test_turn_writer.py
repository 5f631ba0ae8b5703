"""What one turn has for a client is sent at once, in order, and whoever puts it there never waits."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any, Final

import gevent
import pytest

from nodecluster_compat.gevent_runtime.client_socket import ClientSocket
from nodecluster_compat.gevent_runtime.turn_writer import TurnWriter

LARGE: Final = b"x" * 4_000_000  # more than any kernel takes at once
PATIENCE: Final = 20.0


class Rig:
    """A writer, and the client that reads."""

    def __init__(self) -> None:
        ours, self.client = socket.socketpair()
        self.client.setblocking(False)
        self.sock = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
        self.stuck = 0
        self.writer = TurnWriter(self.sock, self._count)

    def _count(self) -> None:
        self.stuck += 1

    def come(self) -> bytes | None:
        try:
            return self.client.recv(1 << 20)
        except BlockingIOError:
            return None


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.client.close()
    made.sock.close()


def read_all(client: socket.socket, size: int) -> bytes:
    data = b""
    with gevent.Timeout(PATIENCE):
        while len(data) < size:
            try:
                data += client.recv(1 << 20)
            except BlockingIOError:
                gevent.sleep(0)
    return data


def test_pieces_of_a_turn_are_sent_together_when_it_ends(rig: Rig) -> None:
    for piece in (b"a", b"b", b"c"):
        rig.writer.put(piece)
        assert rig.come() is None
    gevent.sleep(0)
    assert rig.come() == b"abc"


def test_much_is_sent_before_the_turn_ends(rig: Rig) -> None:
    rig.writer.put(b"x" * 70_000)
    assert rig.come() == b"x" * 70_000
    gevent.sleep(0)
    assert rig.come() is None


def test_who_may_wait_sends_what_the_kernel_does_not_take(rig: Rig) -> None:
    """What is put meanwhile comes behind it, whoever else asks for the same."""
    rig.writer.put(LARGE)
    assert (rig.stuck, rig.writer.is_stuck) == (1, True)
    finishing = [gevent.spawn(rig.writer.finish) for _ in range(2)]
    gevent.sleep(0)
    rig.writer.put(b"behind")
    assert not any(one.ready() for one in finishing), "who finishes waits, also where somebody else does it"
    assert read_all(rig.client, len(LARGE) + 6) == LARGE + b"behind"
    gevent.joinall(finishing, PATIENCE, raise_error=True)
    assert (rig.stuck, rig.writer.is_stuck) == (1, False)


def test_a_client_that_is_gone_breaks_the_writer_and_nobody_who_puts(rig: Rig) -> None:
    rig.client.close()
    rig.writer.put(b"a")
    gevent.sleep(0)
    assert rig.writer.is_broken
    assert rig.stuck == 0


def test_who_finishes_hears_that_the_client_has_gone(rig: Rig) -> None:
    rig.writer.put(LARGE)
    rig.client.close()
    with pytest.raises(OSError, match=r"."):
        rig.writer.finish()
    assert rig.writer.is_broken
    assert not rig.writer.is_stuck


@pytest.mark.parametrize("error", [gevent.GreenletExit, gevent.Timeout])
def test_nothing_follows_what_was_left_half_sent(rig: Rig, error: type[BaseException]) -> None:
    rig.writer.put(LARGE)
    finishing = gevent.spawn(rig.writer.finish)
    gevent.sleep(0)
    finishing.kill(error)
    assert rig.writer.is_broken
    read = b""
    while (more := rig.come()) is not None:
        read += more
    rig.writer.put(b"behind")
    gevent.sleep(0)
    assert rig.come() is None
    assert read == LARGE[: len(read)]


def test_a_connection_that_was_closed_in_the_same_turn_takes_nothing(rig: Rig) -> None:
    errors: list[Any] = []
    rig.writer.put(b"a")
    rig.sock.close()
    hub = gevent.get_hub()
    kept, hub.handle_error = hub.handle_error, lambda *error: errors.append(error)
    try:
        gevent.sleep(0)
    finally:
        hub.handle_error = kept
    assert (rig.writer.is_broken, errors) == (True, [])
