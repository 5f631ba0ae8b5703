"""A look at a connection sees what has come, leaves it there, and waits for nothing; in C as in Python."""

from __future__ import annotations

import os
import select
import socket
import struct
from collections.abc import Iterator

import pytest
from own_descriptors import forget_others, own_descriptors

from nodecluster_compat.base.native import PYTHON, in_force
from nodecluster_compat.machine.peeking import MOST_PEEKED, Peek, peeker


@pytest.fixture(
    params=[
        pytest.param(PYTHON, id="python"),
        pytest.param(in_force(), id="native", marks=pytest.mark.skipif(in_force().module is None, reason="no C here")),
    ]
)
def peek(request: pytest.FixtureRequest) -> Peek:
    return peeker(request.param)


@pytest.fixture(params=[socket.AF_INET, socket.AF_UNIX], ids=["tcp", "unix"])
def ends(request: pytest.FixtureRequest) -> Iterator[tuple[socket.socket, socket.socket]]:
    """Both ends of a connection, whose first one blocks, as what was accepted does."""
    if request.param == socket.AF_UNIX:
        one, other = socket.socketpair()
    else:
        with socket.create_server(("127.0.0.1", 0)) as listener:
            other = socket.create_connection(listener.getsockname())
            one, _ = listener.accept()
    with one, other:
        yield one, other


def wait_readable(sock: socket.socket) -> None:
    """Wait for what was sent: on a busy machine it may come late."""
    select.select([sock], [], [], 20)


def test_nothing_has_come(peek: Peek, ends: tuple[socket.socket, socket.socket]) -> None:
    assert peek(ends[0].fileno(), MOST_PEEKED) is None


@pytest.mark.parametrize("data", [b"x", bytes(range(256)), b"y" * 5000], ids=["one", "all bytes", "more than is seen"])
def test_what_has_come_stays(peek: Peek, ends: tuple[socket.socket, socket.socket], data: bytes) -> None:
    forget_others()
    one, other = ends
    other.sendall(data)
    before = own_descriptors()
    wait_readable(one)
    assert peek(one.fileno(), MOST_PEEKED) == data[:MOST_PEEKED]
    assert peek(one.fileno(), 1) == data[:1]
    assert not own_descriptors().items() - before.items()
    assert one.recv(len(data), socket.MSG_WAITALL) == data


def test_end_is_seen_behind_what_has_come(peek: Peek, ends: tuple[socket.socket, socket.socket]) -> None:
    one, other = ends
    other.sendall(b"x")
    other.shutdown(socket.SHUT_WR)
    wait_readable(one)
    assert peek(one.fileno(), MOST_PEEKED) == b"x"
    one.recv(1)
    wait_readable(one)
    assert peek(one.fileno(), MOST_PEEKED) == b""


def test_connection_that_was_reset_has_ended(peek: Peek) -> None:
    with socket.create_server(("127.0.0.1", 0)) as listener:
        client = socket.create_connection(listener.getsockname())
        one, _ = listener.accept()
    client.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, struct.pack("ii", 1, 0))
    client.close()
    wait_readable(one)
    with one:
        assert peek(one.fileno(), MOST_PEEKED) == b""


def test_what_is_no_connection_has_ended(peek: Peek) -> None:
    reading, writing = os.pipe()
    try:
        assert peek(reading, 1) == b""
    finally:
        os.close(reading)
        os.close(writing)


@pytest.mark.parametrize(("fd", "most"), [(-1, 1), (0, 0), (0, -1), (0, MOST_PEEKED + 1)])
def test_arguments_that_make_no_sense_are_refused(peek: Peek, fd: int, most: int) -> None:
    with pytest.raises(ValueError, match="expected"):
        peek(fd, most)
