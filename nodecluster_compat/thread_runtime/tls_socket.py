"""Let several threads write to one connection through TLS, as they may to one that is not encrypted.

A websocket has at least two: its own thread, which answers pings and the client's goodbye, and those that send to it.
A session of OpenSSL must not be written by two threads at once: both fail, or the client gets what it cannot decrypt.
Reading meanwhile does no harm, as long as it waits in the kernel.
"""

from __future__ import annotations

import ssl
from threading import RLock
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from _typeshed import ReadableBuffer

__all__ = ["let_threads_write"]


class _SharedSocket(ssl.SSLSocket):
    """A socket to which one thread at a time writes; ``sendall`` is one piece."""

    _writing: RLock

    def send(self, data: ReadableBuffer, flags: int = 0) -> int:
        with self._writing:
            return super().send(data, flags)

    def sendall(self, data: ReadableBuffer, flags: int = 0) -> None:
        with self._writing:
            super().sendall(data, flags)

    def write(self, data: ReadableBuffer) -> int:
        with self._writing:
            return super().write(data)


def let_threads_write(sock: ssl.SSLSocket) -> None:
    """Let them do so from now on; a socket of a class of the program's own is left as it is."""
    if type(sock) is ssl.SSLSocket:
        sock.__class__ = _SharedSocket
        sock._writing = RLock()  # type: ignore[attr-defined]
