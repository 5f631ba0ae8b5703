"""A listening socket that is quiesced: who has connected can be accepted, who comes later cannot connect."""

from __future__ import annotations

import errno
import socket
from pathlib import Path

import pytest

from nodecluster_compat.machine.quiesce import quiesce


@pytest.mark.parametrize("family", [socket.AF_INET, socket.AF_INET6, socket.AF_UNIX])
def test_socket_that_is_quiesced_keeps_who_is_there(family: int, tmp_path: Path) -> None:
    """Who has connected can be accepted, who comes later is kept out; nobody is connected and then reset."""
    addresses = {
        socket.AF_INET: ("127.0.0.1", 0),
        socket.AF_INET6: ("::1", 0),
        socket.AF_UNIX: str(tmp_path / "s"),
    }
    with socket.socket(family) as sock, socket.socket(family) as early, socket.socket(family) as late:
        sock.setblocking(False)
        sock.bind(addresses[socket.AddressFamily(family)])
        sock.listen()
        early.connect(sock.getsockname())
        quiesce(sock)
        late.setblocking(False)
        assert late.connect_ex(sock.getsockname()) in (errno.EINPROGRESS, errno.ECONNREFUSED)
        with pytest.raises(OSError, match="not connected"):
            late.getpeername()
        early.sendall(b"request")
        accepted, _ = sock.accept()
        with accepted:
            assert accepted.recv(16) == b"request"
        with pytest.raises(OSError):
            sock.accept()
