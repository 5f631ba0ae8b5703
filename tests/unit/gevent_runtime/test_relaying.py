"""What greenlets relay between a client through TLS and the worker that it belongs to, when one of them ends first."""

from __future__ import annotations

import os
from collections.abc import Iterator
from typing import Any

import gevent
import pytest
from gevent.event import Event
from gevent.socket import socket, socketpair

from nodecluster_compat.gevent_runtime.relaying import Relay
from nodecluster_compat.routing.relays import Relays

ANSWER = b"HTTP/1.1 413 Content Too Large\r\n\r\n"
PATIENCE = 20.0


class Rig:
    """A relay, and the worker at its other end."""

    def __init__(self) -> None:
        self.relay = Relay(Relays(), b"POST / HTTP/1.1\r\n\r\n")
        self.worker = socket(fileno=os.dup(self.relay.fileno()))


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    with made.worker, gevent.Timeout(PATIENCE):
        yield made


def test_answer_that_comes_before_the_body_has_ended_is_relayed(rig: Rig) -> None:
    """The other worker has closed, and more of the body comes, which nobody takes."""
    ours, client = socketpair()
    with client:
        rig.worker.sendall(ANSWER)
        rig.worker.close()
        client.sendall(b"more of the body")
        with ours:
            rig.relay.run(ours)
        assert client.recv(100) == ANSWER


class Gone:
    """A client that says nothing, and hears nothing any more."""

    def recv(self, _: int) -> bytes:
        Event().wait()
        return b""

    def sendall(self, _: bytes) -> None:
        raise ConnectionResetError


def test_process_that_a_request_has_forked_keeps_no_relay_open(rig: Rig) -> None:
    """It has a copy of each socket."""
    childs = rig.relay._near.dup()
    client: Any = Gone()
    with childs:
        rig.worker.sendall(ANSWER)
        rig.relay.run(client)
        assert rig.worker.recv(1) == b""
