"""A client is waited for after its last answer while it sends something, or reads slowly."""

from __future__ import annotations

import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nodecluster_compat.gevent_runtime import lingering
from nodecluster_compat.gevent_runtime.client_socket import ClientSocket

Pair = tuple[Any, socket.socket]


@pytest.fixture
def pair() -> Iterator[Pair]:
    ours, theirs = socket.socketpair()
    server: Any = ClientSocket(socket.AF_UNIX, socket.SOCK_STREAM, 0, ours.detach())
    yield server, theirs
    server.close()
    theirs.close()


@pytest.mark.parametrize(
    ("looks", "unasked"),
    [([0, 0, 9], 1), ([9, 9, 9], 1), ([9, 8, 7, 7, 9], 1), ([9, 8, 0, 9], 1)],
    ids=["has all", "takes nothing", "takes nothing more", "has all after a while"],
)
def test_silent_client_is_waited_for_while_its_host_takes_something(
    monkeypatch: pytest.MonkeyPatch, pair: Pair, looks: list[int], unasked: int
) -> None:
    """It may say something when it has read more: closed before, it would be reset."""
    left = iter(looks)
    monkeypatch.setattr(lingering, "_SILENT_SECONDS", 0.01)
    monkeypatch.setattr(lingering, "unarrived", lambda _: next(left))
    lingering.linger(pair[0])
    assert len(list(left)) == unasked
    assert pair[1].recv(1) == b""


def test_client_that_ends_is_waited_for_no_longer(monkeypatch: pytest.MonkeyPatch, pair: Pair) -> None:
    """What it has sent is thrown away."""
    left = iter([9])
    monkeypatch.setattr(lingering, "unarrived", lambda _: next(left))
    pair[1].sendall(b"more")
    pair[1].shutdown(socket.SHUT_WR)
    lingering.linger(pair[0])
    assert pair[0].recv(1) == b""
