"""Binding: what goes wrong is said as Node says it, and a path has its rights from its birth."""

from __future__ import annotations

import os
import socket
from pathlib import Path

import pytest

from nodecluster_compat.base.records import ListenRequest
from nodecluster_compat.errors import ListenError
from nodecluster_compat.machine.binding import bind


def test_binding_speaks_like_node(tmp_path: Path) -> None:
    """Codes, system call, address and port; a path is removed with its socket."""
    with socket.create_server(("127.0.0.1", 0)) as holder:
        port = holder.getsockname()[1]
        with pytest.raises(ListenError) as caught:
            bind(ListenRequest("127.0.0.1", port, 4))
    error = caught.value
    assert (error.code, error.syscall, error.address, error.port) == ("EADDRINUSE", "bind", "127.0.0.1", port)
    assert str(error) == f"[Errno 98] bind EADDRINUSE 127.0.0.1:{port}"
    path = str(tmp_path / "s.sock")
    bound = bind(ListenRequest(path, -1, -1, readable_all=True, writable_all=True))
    assert os.stat(path).st_mode & 0o666 == 0o666
    with pytest.raises(ListenError, match="EADDRINUSE"):
        bind(ListenRequest(path, -1, -1))
    bound.close()
    assert not os.path.exists(path)
    with pytest.raises(ListenError, match="EACCES"):
        bind(ListenRequest(str(tmp_path / "no" / "s.sock"), -1, -1))
    with pytest.raises(ListenError, match="ENAMETOOLONG"):
        bind(ListenRequest(str(tmp_path / ("x" * 200)), -1, -1))


@pytest.mark.parametrize(("flags", "mode"), [((), 0o750), (("readable_all",), 0o754), (("writable_all",), 0o772)])
def test_rights_of_a_path_are_there_from_its_birth(tmp_path: Path, flags: tuple[str, ...], mode: int) -> None:
    """What was asked for, and what the umask leaves, which is as it was afterwards."""
    former = os.umask(0o027)
    try:
        bound = bind(ListenRequest(str(tmp_path / "s"), -1, -1, **dict.fromkeys(flags, True)))  # type: ignore[arg-type]
        assert os.stat(tmp_path / "s").st_mode & 0o777 == mode
        bound.close()
    finally:
        assert os.umask(former) == 0o027
