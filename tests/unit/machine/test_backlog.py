"""What the kernel says of a listening socket."""

from __future__ import annotations

import contextlib
import socket
from pathlib import Path

import pytest

from nodecluster_compat.machine.backlog import Backlog, backlog_of


@pytest.mark.parametrize(("family", "host"), [(socket.AF_INET, "127.0.0.1"), (socket.AF_INET6, "::1")])
def test_connections_that_nobody_has_accepted_are_counted(family: int, host: str) -> None:
    with contextlib.ExitStack() as open_sockets:
        listening = open_sockets.enter_context(socket.socket(family))
        try:
            listening.bind((host, 0))
        except OSError:
            pytest.skip("this machine has no such address")
        listening.listen(7)
        assert backlog_of(listening.fileno(), family) == Backlog(0, 7)
        for _ in range(2):
            open_sockets.enter_context(socket.create_connection(listening.getsockname()[:2], timeout=10))
        assert backlog_of(listening.fileno(), family) == Backlog(2, 7)


def test_kernel_does_not_tell_of_a_unix_socket(tmp_path: Path) -> None:
    with socket.socket(socket.AF_UNIX) as listening:
        listening.bind(str(tmp_path / "s"))
        listening.listen()
        assert backlog_of(listening.fileno(), listening.family) is None


def test_descriptor_that_is_no_socket_has_no_backlog() -> None:
    assert backlog_of(-1, socket.AF_INET) is None
