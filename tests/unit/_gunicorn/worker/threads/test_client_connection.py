"""The socket of a thread worker's client, which gunicorn and the application both tell whether it waits."""

from __future__ import annotations

import socket
from collections.abc import Callable, Iterator
from types import SimpleNamespace
from typing import Any, cast

import pytest

from nodecluster_compat._gunicorn.worker.threads.client_connection import ConnectionFactory


def connection(sock: socket.socket, *, is_ssl: bool = False) -> Any:
    """gunicorn's connection, of a client that is connected."""
    factory = ConnectionFactory(cast("Any", SimpleNamespace(is_ssl=is_ssl)), handshake_timeout=9)
    return factory.make(sock.family, sock.detach(), "the listener")


@pytest.fixture
def client() -> Iterator[socket.socket]:
    """The socket of a connection that is the worker's."""
    near, far = socket.socketpair()
    with far, connection(near).sock as sock:
        yield sock


def test_connection_that_was_accepted_waits_as_it_is(client: socket.socket, monkeypatch: pytest.MonkeyPatch) -> None:
    """Nobody tells the kernel so before each request."""
    told: list[object] = []
    monkeypatch.setattr(type(client), "settimeout", lambda _, value: told.append(value))
    client.setblocking(True)
    client.setblocking(True)
    assert (told, client.getblocking()) == ([], True)


def test_application_may_ask_without_waiting(client: socket.socket) -> None:
    client.setblocking(False)
    with pytest.raises(BlockingIOError):
        client.recv(1)


@pytest.mark.parametrize(
    "change",
    [lambda sock: sock.setblocking(False), lambda sock: sock.settimeout(0), lambda sock: sock.settimeout(0.1)],
    ids=["not blocking", "zero", "a moment"],
)
def test_next_request_waits_whatever_the_application_has_set(
    client: socket.socket, change: Callable[[socket.socket], None]
) -> None:
    change(client)
    client.setblocking(True)  # as gunicorn does before each request
    assert (client.gettimeout(), client.getblocking()) == (None, True)


def test_handshake_has_its_limit() -> None:
    near, far = socket.socketpair()
    with far, connection(near, is_ssl=True).sock as sock:
        sock.setblocking(True)
        assert sock.gettimeout() == 9
