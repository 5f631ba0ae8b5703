"""The sockets that workers share: by what they ask for, and what none of them gets."""

from __future__ import annotations

import _socket
import errno
import logging
import socket
from collections.abc import Iterator
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.connections.dealer import Dealer
from nodecluster_compat.connections.policies import RoundRobin
from nodecluster_compat.connections.shared_sockets import SharedSockets

LOG = logging.getLogger("test")


@pytest.fixture
def shared() -> Iterator[SharedSockets]:
    loop = Loop(LOG)
    made = SharedSockets(Dealer(loop, LOG, RoundRobin, 4, lambda _: None, lambda *_: None), lambda: True)
    yield made
    made.close()
    loop.close()


def test_workers_share_by_what_they_ask_for(shared: SharedSockets) -> None:
    """One socket for one address; one each for the ordinals of port 0; closed when the last has left."""
    ask = ListenRequest("127.0.0.1", 0, 4)
    first, second = shared.query(1, 10, ask).answer, shared.query(2, 11, ask).answer
    other = shared.query(1, 12, ListenRequest("127.0.0.1", 0, 4, ordinal=1)).answer
    assert first.name == second.name != other.name
    assert (first.request_id, second.request_id) == (10, 11)
    assert len(shared) == 2
    shared.leave(1, first.listener_id)
    shared.lost(1)
    assert len(shared) == 1
    shared.leave(2, first.listener_id)
    assert len(shared) == 0


def test_errors_are_answers_and_the_key_is_free_again(shared: SharedSockets) -> None:
    """EADDRINUSE of a foreign port, of the worker's own; a bad descriptor."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        ask = ListenRequest("127.0.0.1", holder.getsockname()[1], 4)
        assert shared.query(1, 1, ask).answer.errno == errno.EADDRINUSE
    assert shared.query(1, 2, ask).answer.errno == 0
    assert shared.query(1, 3, ask).answer.errno == errno.EADDRINUSE
    assert shared.query(1, 4, ListenRequest(None, -1, None, fd=9999)).answer.errno == errno.EINVAL


def test_udp_is_shared_by_descriptor(shared: SharedSockets) -> None:
    """Whatever the policy."""
    answer = shared.query(1, 1, ListenRequest("127.0.0.1", 0, "udp4"))
    assert answer.fd is not None


@pytest.mark.parametrize(
    ("address", "kind"),
    [("localhost", 4), ("example.test", 4), ("127.0.0.1", 6), ("::1", 4), ("1.2.3", "udp6"), ("127.0.0.1 ", 4)],
)
def test_name_is_never_resolved_for_a_worker(shared: SharedSockets, address: str, kind: Any) -> None:
    """Resolving takes time in which nothing else happens: only addresses are bound."""
    assert shared.query(1, 1, ListenRequest(address, 0, kind)).answer.errno == errno.EINVAL


def test_descriptor_of_the_primary_is_had_only_if_it_can_be_a_servers(shared: SharedSockets) -> None:
    """No sibling's channel, no client's connection, no epoll; a server that somebody bound, yes."""
    stream, packets = _socket.socketpair(), _socket.socketpair(_socket.AF_UNIX, _socket.SOCK_SEQPACKET)
    with socket.create_server(("127.0.0.1", 0)) as server, socket.socket(type=socket.SOCK_DGRAM) as udp:
        udp.bind(("127.0.0.1", 0))
        with socket.create_connection(server.getsockname()) as client, server.accept()[0] as accepted:
            refused = [*stream, *packets, client, accepted, udp]
            for kind in (None, "udp4", "udp6"):
                for sock in refused if kind is None else [*refused[:-1], server]:
                    ask = ListenRequest(None, -1, kind, fd=sock.fileno())  # type: ignore[arg-type]
                    assert shared.query(1, 1, ask).answer.errno == errno.EINVAL
        assert shared.query(1, 1, ListenRequest(None, -1, None, fd=server.fileno())).answer.errno == 0
        assert shared.query(1, 1, ListenRequest(None, -1, "udp4", fd=udp.fileno())).answer.errno == 0
    for sock in (*stream, *packets):
        sock.close()


def test_servers_have_half_of_the_descriptors(shared: SharedSockets, monkeypatch: pytest.MonkeyPatch) -> None:
    """A worker that asks for more is told what the system would tell it, and can close one and ask again."""
    monkeypatch.setattr("resource.getrlimit", lambda _: (8, 8))
    asked = [shared.query(1, n, ListenRequest("127.0.0.1", 0, 4, ordinal=n)).answer for n in range(5)]
    assert [answer.errno for answer in asked] == [0, 0, 0, 0, errno.EMFILE]
    shared.leave(1, asked[0].listener_id)
    assert shared.query(1, 5, ListenRequest("127.0.0.1", 0, 4, ordinal=5)).answer.errno == 0
