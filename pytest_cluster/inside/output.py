"""Send a worker's output to a file of its own, so that a report can show it apart from the others'."""

from __future__ import annotations

import os
import sys

from ..wire.files import server_log_path, worker_log_path

__all__ = ["take_own_output"]


def take_own_output(folder: str, worker: int) -> None:
    """Let stdout and stderr of this process go to its own file, where they went to the server's log."""
    ours = os.stat(server_log_path(folder))
    shared = [fd for fd in (1, 2) if os.path.sameopenfile(fd, fd) and _is_same(fd, ours)]
    if not shared:
        return
    for stream in (sys.stdout, sys.stderr):
        stream.flush()
    own = os.open(worker_log_path(folder, worker, os.getpid()), os.O_WRONLY | os.O_CREAT | os.O_APPEND, 0o600)
    for fd in shared:
        os.dup2(own, fd)
    os.close(own)


def _is_same(fd: int, file: os.stat_result) -> bool:
    status = os.fstat(fd)
    return (status.st_dev, status.st_ino) == (file.st_dev, file.st_ino)
