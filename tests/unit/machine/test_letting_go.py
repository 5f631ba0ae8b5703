"""Closing what another process has had: never a wait for a client, and nothing lost."""

from __future__ import annotations

import os
import socket
import struct

import pytest

from nodecluster_compat.machine.letting_go import let_go

LINGER = struct.Struct("ii")


def connected() -> tuple[socket.socket, socket.socket]:
    with socket.create_server(("127.0.0.1", 0)) as server:
        client = socket.create_connection(server.getsockname())
        return server.accept()[0], client


def linger(sock: socket.socket, is_on: int, seconds: int) -> None:
    sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, LINGER.pack(is_on, seconds))


def fill(sock: socket.socket) -> int:
    sock.setblocking(False)
    sent = 0
    try:
        while True:
            sent += sock.send(b"x" * 65536)
    except BlockingIOError:
        return sent


def test_client_that_does_not_read_makes_nobody_wait() -> None:
    """However long it is to linger, here an hour: the descriptor is closed, and the client gets everything."""
    ours, client = connected()
    with client:
        sent = fill(ours)
        linger(ours, 1, 3600)
        let_go(ours.detach())  # it returns, although nothing was read
        received = 0
        client.settimeout(20)
        while data := client.recv(1 << 20):
            received += len(data)
    assert received == sent


def test_reset_stays_a_reset() -> None:
    """No time to linger means that the connection is reset, which waits for nothing."""
    ours, client = connected()
    with client:
        linger(ours, 1, 0)
        let_go(ours.detach())
        with pytest.raises(ConnectionResetError):
            client.recv(1)


def test_anything_can_be_let_go() -> None:
    """A pipe, a socket without addresses; afterwards the number is free."""
    reading, writing = os.pipe()
    one, two = socket.socketpair()
    for fd in (reading, writing, one.detach(), two.detach()):
        let_go(fd)
        with pytest.raises(OSError, match="Bad file descriptor"):
            os.fstat(fd)
