"""A path that several servers may want."""

from __future__ import annotations

import os
import socket
import stat
from collections.abc import Iterator
from contextlib import ExitStack
from pathlib import Path

import pytest

from nodecluster_compat.errors import PathTaken
from nodecluster_compat.machine.socket_path import SocketPath, holder_of


def nobody(_: int) -> bool:
    return False


@pytest.fixture
def path(tmp_path: Path) -> str:
    return str(tmp_path / "new" / "ctl")


@pytest.fixture
def closing() -> Iterator[ExitStack]:
    with ExitStack() as stack:
        yield stack


@pytest.mark.parametrize("mask", [0o077, 0o000])
def test_socket_has_its_mode_whatever_the_umask(path: str, mask: int, closing: ExitStack) -> None:
    former = os.umask(mask)
    closing.callback(os.umask, former)
    one = SocketPath(path, 0o660)
    closing.callback(one.take(5, nobody).close)
    assert stat.S_IMODE(os.stat(path).st_mode) == 0o660
    assert stat.S_IMODE(os.stat(os.path.dirname(path)).st_mode) == 0o700
    assert os.listdir(os.path.dirname(path)) == ["ctl"]
    assert (one.is_ours, holder_of(path)) == (True, os.getpid())
    one.release()
    assert not os.path.exists(path)


def test_path_of_a_server_that_lives_is_not_taken(path: str, closing: ExitStack) -> None:
    first, second = SocketPath(path, 0o600), SocketPath(path, 0o600)
    closing.callback(first.take(5, nobody).close)
    with pytest.raises(PathTaken, match=f"found the server with pid {os.getpid()}"):
        second.take(5, nobody)
    second.release()
    assert first.is_ours


def test_path_may_be_taken_over_without_a_moment_of_absence(path: str, closing: ExitStack) -> None:
    """And the one that has lost it does not remove it."""
    first, second = SocketPath(path, 0o600), SocketPath(path, 0o600)
    closing.callback(first.take(5, nobody).close)
    closing.callback(second.take(5, lambda pid: pid == os.getpid()).close)
    assert (first.is_ours, second.is_ours) == (False, True)
    first.release()
    assert os.path.exists(path)


def test_stale_path_is_taken(path: str, closing: ExitStack) -> None:
    first, second = SocketPath(path, 0o600), SocketPath(path, 0o600)
    first.take(5, nobody).close()
    assert holder_of(path) is None
    closing.callback(second.take(5, nobody).close)
    assert second.is_ours


def test_server_whose_backlog_is_full_lives(path: str, closing: ExitStack) -> None:
    closing.callback(SocketPath(path, 0o600).take(0, nobody).close)
    for _ in range(2):
        client = closing.enter_context(socket.socket(socket.AF_UNIX))
        client.setblocking(False)
        client.connect_ex(path)
    assert holder_of(path) == 0


def test_file_that_is_no_socket_is_left_alone(tmp_path: Path) -> None:
    precious = tmp_path / "ctl"
    precious.write_text("precious")
    with pytest.raises(PathTaken, match="a file that is no socket"):
        SocketPath(str(precious), 0o600).take(5, lambda _: True)
    assert precious.read_text() == "precious"
    dangling = tmp_path / "link"
    dangling.symlink_to(tmp_path / "nowhere")
    with pytest.raises(PathTaken, match="leads nowhere"):
        SocketPath(str(dangling), 0o600).take(5, lambda _: True)
    assert dangling.is_symlink()


def test_path_that_nobody_could_connect_to_is_not_taken(tmp_path: Path, closing: ExitStack) -> None:
    """Its folder is short, so another name in it could be bound and renamed."""
    folder = os.open(tmp_path, os.O_RDONLY)
    closing.callback(os.close, folder)
    short = f"/proc/self/fd/{folder}/"
    longest = short + "x" * (107 - len(short))
    closing.callback(SocketPath(longest, 0o600).take(5, nobody).close)
    closing.enter_context(socket.socket(socket.AF_UNIX)).connect(longest)
    with pytest.raises(OSError, match="too long"):
        SocketPath(longest + "x", 0o600).take(5, nobody)
    assert os.listdir(tmp_path) == [os.path.basename(longest)]
