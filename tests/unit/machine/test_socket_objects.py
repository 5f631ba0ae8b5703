"""A socket that others share keeps its mode, and is not waited for, whatever ``socket.setdefaulttimeout`` says."""

from __future__ import annotations

import os
import socket
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.base.native import PYTHON
from nodecluster_compat.machine.backlog import backlog_of
from nodecluster_compat.machine.letting_go import let_go
from nodecluster_compat.machine.outlet import Outlet
from nodecluster_compat.machine.peeking import peeker
from nodecluster_compat.machine.socket_objects import shared_socket


@pytest.fixture(autouse=True)
def default_timeout() -> Iterator[None]:
    """What an application has set for its own sockets: so long that a test which waits for it does not pass."""
    socket.setdefaulttimeout(3600)
    yield
    socket.setdefaulttimeout(None)


@pytest.fixture
def shared() -> Iterator[socket.socket]:
    """A connection that blocks, whose client says nothing."""
    one, other = socket.socketpair()
    one.setblocking(True)
    with one, other:
        yield one


def say(fd: int) -> None:
    outlet = Outlet(fd)
    assert outlet.write(b"said") == 4
    outlet.close()


def call(fd: int) -> None:
    sock = shared_socket(fd)
    with pytest.raises(BlockingIOError):
        sock.recv(1, socket.MSG_DONTWAIT)
    sock.detach()


@pytest.mark.parametrize(
    "use",
    [
        lambda fd: peeker(PYTHON)(fd, 1),
        lambda fd: let_go(os.dup(fd)),
        lambda fd: backlog_of(fd, socket.AF_INET),
        say,
        call,
    ],
    ids=["peek", "let go", "backlog", "outlet", "call"],
)
def test_use_of_a_shared_socket(use: Callable[[int], object], shared: socket.socket) -> None:
    use(shared.fileno())
    assert os.get_blocking(shared.fileno())


def test_what_is_no_socket() -> None:
    reading, writing = os.pipe()
    with os.fdopen(reading), os.fdopen(writing), pytest.raises(OSError, match="Socket operation on non-socket"):
        shared_socket(reading)
