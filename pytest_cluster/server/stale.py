"""Remove unix sockets that a killed primary has left; one that ends by itself removes them.

Standard library only, and no relative import: the guard runs this file alone.
"""

from __future__ import annotations

import contextlib
import os
import socket
import stat

__all__ = ["remove_stale_socket"]


def remove_stale_socket(path: str) -> None:
    """Remove the unix socket *path*, unless it is something else, or somebody listens there."""
    with contextlib.suppress(OSError, ValueError):  # such as a path that cannot be one
        if stat.S_ISSOCK(os.lstat(path).st_mode) and _is_refused(path):
            os.unlink(path)


def _is_refused(path: str) -> bool:
    with socket.socket(socket.AF_UNIX, socket.SOCK_STREAM) as probe:
        probe.setblocking(False)
        try:
            probe.connect(path)
        except ConnectionRefusedError:
            return True
    return False
