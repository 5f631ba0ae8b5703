"""A client that connects at the last moment: after a stop has accepted everybody, before it closes the socket.

Runs in the primary, found by this file's path: standard library and gunicorn only.
"""

from __future__ import annotations

import socket
from pathlib import Path

from gunicorn import sock as gunicorn_sock

CONNECTED = "connected"
KEPT_OUT = "kept out"


def come_late(family: int, address: object, path: str) -> None:
    """Connect when gunicorn is about to close its sockets, and write into a file what came of it."""
    close = gunicorn_sock.close_sockets

    def close_late(*args: object) -> None:
        Path(path).write_text(CONNECTED if _is_connected(family, address) else KEPT_OUT, encoding="ascii")
        close(*args)

    gunicorn_sock.close_sockets = close_late


def _is_connected(family: int, address: object) -> bool:
    """Whether the kernel lets somebody in, at once, as it does over loopback."""
    with socket.socket(family) as client:
        client.setblocking(False)
        client.connect_ex(address)  # type: ignore[arg-type]
        try:
            client.getpeername()
        except OSError:
            return False
        return True
