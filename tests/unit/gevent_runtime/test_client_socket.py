"""The socket of a client is gevent's, whatever is asked of it, and whenever that is made."""

from __future__ import annotations

import errno
import os
import socket
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest

from nodecluster_compat.gevent_runtime.client_socket import ClientSocket


@pytest.fixture
def pair() -> Iterator[tuple[Any, socket.socket]]:
    """A client's socket as an application gets it, and the client."""
    server, client = socket.socketpair()
    ours = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, fileno=server.detach())
    yield ours, client
    ours.close()
    client.close()


def test_reading_without_waiting(pair: tuple[Any, socket.socket]) -> None:
    """Nothing there, something, the end."""
    ours, client = pair
    assert ours.recv_ready(10) is None
    client.sendall(b"hello")
    assert ours.recv_ready(10) == b"hello"
    client.close()
    assert ours.recv_ready(10) == b""


def recv_next(ours: Any) -> bytes:
    data: bytes = ours.recv_next(10, gevent.get_hub(), gevent.getcurrent().switch)
    return data


def test_waiting_goes_on_until_something_has_come(pair: tuple[Any, socket.socket]) -> None:
    """Whatever else resumes the greenlet meanwhile."""
    ours, client = pair
    waiting = gevent.spawn(recv_next, ours)
    gevent.sleep(0)
    gevent.get_hub().loop.run_callback(waiting.switch)
    gevent.sleep(0)
    client.sendall(b"hello")
    assert waiting.get(timeout=20) == b"hello"


@pytest.mark.parametrize("wait", [recv_next, lambda ours: ours.recv(10)])
def test_closing_ends_a_wait_in_another_greenlet(pair: tuple[Any, socket.socket], wait: Callable[[Any], bytes]) -> None:
    """As gevent's does."""
    ours, _ = pair
    errors: list[int | None] = []

    def waits() -> None:
        try:
            wait(ours)
        except OSError as error:
            errors.append(error.errno)

    waiting = gevent.spawn(waits)
    gevent.sleep(0)
    ours.close()
    waiting.join(20)
    assert errors == [errno.EBADF]


def is_open(number: int, inode: int) -> bool:
    """Whether this is still the same socket: another thread of the process may have taken the number."""
    try:
        return os.fstat(number).st_ino == inode
    except OSError:
        return False


USES: list[Callable[[Any], Any]] = [
    lambda ours: None,
    recv_next,
    lambda ours: ours.recv(1),
    lambda ours: ours.fileno(),
    lambda ours: ours.sendall(b"x"),
    lambda ours: (ours.settimeout(20), ours.recv(1)),
    lambda ours: ours.makefile("rb").close(),
    lambda ours: ours.shutdown(socket.SHUT_WR),
]


@pytest.mark.parametrize("use", USES)
def test_closing_frees_the_descriptor_and_is_seen(pair: tuple[Any, socket.socket], use: Callable[[Any], Any]) -> None:
    """However it was used before."""
    ours, client = pair
    client.sendall(b"hello")
    use(ours)
    number = ours._sock.fileno()
    inode = os.fstat(number).st_ino
    ours.close()
    gevent.sleep(0)
    gevent.sleep(0)
    assert not is_open(number, inode)
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.recv(1)
    ours.close()


def test_detaching_and_duplicating(pair: tuple[Any, socket.socket]) -> None:
    """Both give a descriptor that works on."""
    ours, client = pair
    twin = ours.dup()
    plain = socket.socket(fileno=ours.detach())
    plain.sendall(b"1")
    twin.sendall(b"2")
    assert client.recv(1) + client.recv(1) == b"12"
    plain.close()
    twin.close()


def test_a_duplicate_that_nobody_closes_closes_itself(pair: tuple[Any, socket.socket]) -> None:
    """As gevent's does: its client would never see an end."""
    ours, client = pair
    with pytest.warns(ResourceWarning, match="unclosed"):
        ours.dup()
    ours.close()
    assert client.recv(1) == b""


def test_sending_more_than_the_kernel_takes(pair: tuple[Any, socket.socket]) -> None:
    """The rest waits as gevent's does."""
    ours, client = pair
    client.setblocking(False)
    sending = gevent.spawn(ours.sendall, memoryview(b"z" * 3_000_000))
    received = 0
    while received < 3_000_000:
        gevent.socket.wait_read(client.fileno(), timeout=20)
        received += len(client.recv(1_000_000))
    sending.get(timeout=20)


def test_a_timeout_is_gevents(pair: tuple[Any, socket.socket]) -> None:
    """Of an application that sets one."""
    ours, _ = pair
    ours.settimeout(0.01)
    with pytest.raises(TimeoutError):
        ours.recv(1)


def test_one_that_nobody_has_looked_at_is_closed_without_a_socket(pair: tuple[Any, socket.socket]) -> None:
    """And is as closed as any other."""
    ours, client = pair
    number = ours._descriptor
    inode = os.fstat(number).st_ino
    ours.close()
    assert not is_open(number, inode)
    assert client.recv(1) == b""
    assert (ours.closed, ours.fileno()) == (True, -1)
    with pytest.raises(OSError, match="Bad file descriptor"):
        ours.recv(1)
