"""Writing without waiting, to each kind of thing that a descriptor may lead to."""

import contextlib
import fcntl
import os
import socket
from collections.abc import Iterator
from pathlib import Path

import pytest

from nodecluster_compat.machine.outlet import Outlet, takes_more


@pytest.fixture
def pipe() -> Iterator[tuple[int, int]]:
    read_end, write_end = os.pipe()
    yield read_end, write_end
    for end in (read_end, write_end):
        with contextlib.suppress(OSError):
            os.close(end)


def fill(outlet: Outlet) -> int:
    written = 0
    while count := outlet.write(b"x" * 4096):
        written += count
    return written


def test_full_pipe_takes_nothing_and_its_descriptor_blocks_as_before(pipe: tuple[int, int]) -> None:
    read_end, write_end = pipe
    outlet = Outlet(write_end)
    written = fill(outlet)
    assert written >= 4096
    assert not takes_more(write_end)
    assert os.get_blocking(write_end)
    assert len(os.read(read_end, written)) == written
    assert outlet.write(b"again") == 5
    outlet.close()


def test_pipe_that_cannot_be_opened_again_is_asked_first(
    pipe: tuple[int, int], monkeypatch: pytest.MonkeyPatch
) -> None:
    def refuse(*args: object) -> int:
        raise PermissionError

    monkeypatch.setattr(os, "open", refuse)
    outlet = Outlet(pipe[1])
    monkeypatch.undo()
    assert fill(outlet) >= 4096
    assert os.get_blocking(pipe[1])
    outlet.close()


def test_pipe_that_nobody_reads_fails(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    os.close(pipe[0])
    with pytest.raises(BrokenPipeError):
        outlet.write(b"x")
    outlet.close()


@pytest.mark.parametrize("kind", [socket.SOCK_STREAM, socket.SOCK_DGRAM, socket.SOCK_SEQPACKET])
def test_full_socket_takes_nothing(kind: socket.SocketKind) -> None:
    near, far = socket.socketpair(socket.AF_UNIX, kind)
    with near, far:
        outlet = Outlet(near.fileno())
        assert fill(outlet) > 0
        assert os.get_blocking(near.fileno())
        outlet.close()


def test_file_is_written_at_its_end_and_by_its_own_position(tmp_path: Path) -> None:
    """Not opened again: with a position of its own it would write over what is there."""
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        file.write("before\n")
        file.flush()
        outlet = Outlet(file.fileno())
        assert outlet.write(b"ours\n") == 5
        file.write("after\n")
    outlet.close()
    assert (tmp_path / "log").read_text() == "before\nours\nafter\n"


def test_outlet_knows_where_its_descriptor_leads(pipe: tuple[int, int], tmp_path: Path) -> None:
    outlet = Outlet(pipe[1])
    assert outlet.leads_to(pipe[1])
    with open(tmp_path / "log", "w", encoding="ascii") as file:
        os.dup2(file.fileno(), pipe[1])
    assert not outlet.leads_to(pipe[1])
    assert outlet.write(b"x") == 1
    assert os.read(pipe[0], 10) == b"x"
    outlet.close()


def test_outlet_is_not_inherited_by_programs(pipe: tuple[int, int]) -> None:
    outlet = Outlet(pipe[1])
    assert fcntl.fcntl(outlet.fileno(), fcntl.F_GETFD) & fcntl.FD_CLOEXEC
    outlet.close()


def test_closed_descriptor_is_an_error(pipe: tuple[int, int]) -> None:
    os.close(pipe[1])
    with pytest.raises(OSError, match="Bad file descriptor"):
        Outlet(pipe[1])
