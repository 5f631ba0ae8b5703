"""What watches a descriptor on gevent's hub goes on, whatever it raises."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import gevent
import pytest

from nodecluster_compat.gevent_runtime.reactor import GeventReactor


@pytest.fixture
def told() -> Iterator[list[Any]]:
    """What the hub is told of."""
    hub, errors = gevent.get_hub(), []
    kept, hub.handle_error = hub.handle_error, lambda *error: errors.append(error[1])
    yield errors
    hub.handle_error = kept


def test_a_callback_that_raises_is_called_again(told: list[Any]) -> None:
    """gevent would stop watching, and a worker hear of no further connection."""
    reactor, (near, far) = GeventReactor(), socket.socketpair()
    read: list[bytes] = []

    def callback() -> None:
        read.append(near.recv(1))
        raise ValueError("no")

    with near, far:
        reactor.add_reader(near.fileno(), callback)
        far.send(b"ab")
        with gevent.Timeout(20):
            while len(read) < 2:
                gevent.sleep(0)
        reactor.remove_reader(near.fileno())
    assert read == [b"a", b"b"]
    assert told == [ValueError, ValueError]
