"""What a listener does when accepting fails: go on, rest, or give up; never spin, never for good without need."""

from __future__ import annotations

import errno
import logging
import os
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nodecluster_compat.base.records import ServedAddress
from nodecluster_compat.connections.dealing_loop import DealingLoop
from nodecluster_compat.connections.listener import Listener
from nodecluster_compat.connections.policies import RoundRobin


class Refusing:
    """A listening socket whose next accepts fail."""

    def __init__(self, sock: socket.socket) -> None:
        self.sock = sock
        self.errors: list[int] = []

    def fileno(self) -> int:
        return self.sock.fileno()

    def _accept(self) -> Any:
        if self.errors:
            raise OSError(self.errors.pop(0), "as told")
        return self.sock._accept()  # type: ignore[attr-defined]


class Rig:
    """A listener with one worker, and the clients that reached it."""

    def __init__(self) -> None:
        self.loop = DealingLoop()
        self.sock = socket.create_server(("127.0.0.1", 0))
        self.sock.setblocking(False)
        self.source = Refusing(self.sock)
        self.delivered: list[int] = []
        served = ServedAddress(1, socket.AF_INET, self.sock.getsockname())
        self.listener = Listener(
            self.source,  # type: ignore[arg-type]
            served,
            self.loop,
            logging.getLogger("test"),
            RoundRobin(),
            self.deliver,
            lambda: None,
            4,
        )
        self.listener.dispatcher.join(7)
        self.listener.dispatcher.idle(7)
        self.listener.update()
        self.client = socket.create_connection(self.sock.getsockname())

    def deliver(self, listener_id: int, worker_id: int, connection: Any) -> bool:
        self.delivered.append(worker_id)
        os.close(connection.fd)
        return True

    def turn(self) -> None:
        for _ in range(5):
            self.loop.turn(waits=False)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.listener.close()
    made.client.close()
    made.sock.close()
    made.loop.close()


@pytest.mark.parametrize("number", [errno.ECONNABORTED, errno.EPROTO, errno.ECONNRESET, errno.ETIMEDOUT])
def test_connection_that_is_gone_is_skipped(rig: Rig, number: int) -> None:
    """accept(2): try the next one."""
    rig.source.errors = [number]
    rig.turn()
    assert rig.delivered == [7]


@pytest.mark.parametrize("number", [errno.EMFILE, errno.ENFILE, errno.ENOBUFS, errno.ENOMEM, errno.EPERM, 12345])
def test_whatever_may_pass_is_waited_for(rig: Rig, number: int, caplog: pytest.LogCaptureFixture) -> None:
    """One line, a pause, and then it accepts again: a firewall's rule may go as it came."""
    rig.source.errors = [number]
    rig.turn()
    assert rig.delivered == []
    assert caplog.text.count("trying again until it works") == 1
    while not rig.delivered:
        rig.loop.turn(waits=True)
    assert rig.delivered == [7]


@pytest.mark.parametrize("number", [errno.EBADF, errno.EINVAL, errno.ENOTSOCK])
def test_socket_that_is_none_any_more_is_given_up(rig: Rig, number: int, caplog: pytest.LogCaptureFixture) -> None:
    """Trying again could only spin."""
    rig.source.errors = [number]
    rig.turn()
    assert "no longer accepting there" in caplog.text
    rig.turn()
    assert rig.delivered == []
