"""A worker that is about to end takes nothing that it could not deliver."""

from __future__ import annotations

import socket
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.gevent_runtime.servers.servers_in_worker import ServersInWorker


@pytest.fixture
def member() -> Any:
    """A worker as its servers see it."""
    member = SimpleNamespace(open=True, exited_after_disconnect=None)
    member.is_connected = lambda: member.open
    return member


@pytest.fixture
def servers(member: Any) -> Any:
    """Servers of that worker; nobody connects."""
    ours, theirs = socket.socketpair(socket.AF_UNIX, socket.SOCK_SEQPACKET)
    with theirs:
        servers = ServersInWorker(member, ours, lambda: None, lambda error: None)
        yield servers
        ours.close()


def test_one_that_serves_is_not_ending(servers: Any) -> None:
    """Its channel is open, and nobody has called exit."""
    assert not servers.is_ending


def test_one_that_exits_is(servers: Any) -> None:
    """From the call on, not only once it is gone."""
    servers.exiting()
    assert servers.is_ending


@pytest.mark.parametrize(("asked", "is_ending"), [(None, True), (True, False)])
def test_one_without_its_channel_is_unless_it_was_asked_to_leave(
    member: Any, servers: Any, asked: bool | None, is_ending: bool
) -> None:
    """A worker that was asked to leave may finish what it does, as in Node."""
    member.open, member.exited_after_disconnect = False, asked
    assert servers.is_ending is is_ending
