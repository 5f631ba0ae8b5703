"""The connections of a server in this process, which were not accepted here."""

from __future__ import annotations

from typing import Any

import gevent
from gevent.socket import socketpair

from nodecluster_compat import net

PATIENCE = 20.0


def test_connection_that_is_cut_before_it_has_begun_ends() -> None:
    """Its greenlet, which would close it, never runs."""
    served: list[Any] = []
    server = net.create_server(lambda sock, _: served.append(sock))
    ours, client = socketpair()
    with client, gevent.Timeout(PATIENCE):
        server.emit("connection", ours)
        assert server.connections == 1
        server.cut()
        assert client.recv(1) == b""
    assert (served, server.connections) == ([], 0)


def test_connection_that_has_begun_ends_once() -> None:
    """Its number may be another one's by the time that its greenlet is told to have ended."""
    ended = gevent.event.Event()
    ours, client = socketpair()
    fd = ours.fileno()
    server = net.create_server(lambda sock, _: sock.recv(1))
    server.emit("connection", ours)
    with client, gevent.Timeout(PATIENCE):
        client.sendall(b"x")
        assert client.recv(1) == b""
        again = socketpair()
        assert fd in [one.fileno() for one in again]
        gevent.spawn(ended.set)
        ended.wait()
        for one in again:
            one.close()
    assert server.connections == 0
