"""What a thread relays between a client through TLS and the worker that it belongs to, when that ends first."""

from __future__ import annotations

import os
import socket
import threading
from collections.abc import Iterator
from typing import Any, cast

import pytest

from nodecluster_compat.routing.relays import Relays
from nodecluster_compat.thread_runtime.relaying import Relay

ANSWER = b"HTTP/1.1 413 Content Too Large\r\n\r\n"


class Rig:
    """A client, and the worker that it belongs to; bytes of both wait when the relay begins."""

    def __init__(self) -> None:
        self.ours, self.client = socket.socketpair()
        self.relay = Relay(Relays(), b"POST / HTTP/1.1\r\n\r\n")
        self.worker = socket.socket(fileno=os.dup(self.relay.fileno()))
        self.ended = threading.Event()

    def run(self) -> None:
        """Relay to the end."""
        self.relay.begin(cast("Any", self.ours), self.ended.set)
        assert self.ended.wait(20)

    def heard(self) -> bytes:
        """All that the client hears."""
        data = b""
        while piece := self.client.recv(65536):
            data += piece
        return data


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    for sock in (made.client, made.worker):
        sock.close()


def test_answer_that_comes_before_the_body_has_ended_is_relayed(rig: Rig) -> None:
    """The other worker has closed, and more of the body comes, which nobody takes."""
    rig.worker.sendall(ANSWER)
    rig.worker.close()
    rig.client.sendall(b"more of the body")
    rig.run()
    assert rig.heard() == ANSWER


def test_client_that_has_left_ends_the_relay(rig: Rig) -> None:
    """Although the other worker goes on."""
    rig.client.close()
    rig.worker.sendall(ANSWER)
    rig.run()
    rig.worker.settimeout(20)
    assert rig.worker.recv(1) == b""


class Gone:
    """A client that says nothing, and hears nothing any more."""

    def __init__(self, sock: socket.socket) -> None:
        self._sock = sock

    def send(self, _: bytes) -> int:
        raise ConnectionResetError

    def __getattr__(self, name: str) -> Any:
        return getattr(self._sock, name)


def test_process_that_a_request_has_forked_keeps_no_relay_open(rig: Rig) -> None:
    """It has a copy of each socket."""
    with rig.relay._near.dup():
        rig.worker.sendall(ANSWER)
        rig.relay.begin(cast("Any", Gone(rig.ours)), rig.ended.set)
        rig.worker.settimeout(20)
        assert rig.worker.recv(1) == b""
