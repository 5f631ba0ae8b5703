"""A TLS socket that one thread may read from while another one writes, as python-engineio's client does.

CPython's own is not for two threads at a time: what OpenSSL says of a read is asked for behind the call, without a
lock, and a write in between makes an end of the connection of it.
"""

from __future__ import annotations

import select
import ssl
import threading
from collections.abc import Callable
from typing import Any

__all__ = ["shared_context"]


class _SharedSocket(ssl.SSLSocket):
    _lock: threading.Lock

    def __new__(cls, *args: Any, **options: Any) -> _SharedSocket:
        made = super().__new__(cls, *args, **options)
        made._lock = threading.Lock()
        return made

    def recv(self, *args: Any) -> bytes:
        return self._alone(lambda: super(_SharedSocket, self).recv(*args))

    def send(self, *args: Any) -> int:
        return self._alone(lambda: super(_SharedSocket, self).send(*args))

    def _alone(self, call: Callable[[], Any]) -> Any:
        """Call without waiting, under the lock; and wait without it."""
        while True:
            with self._lock:
                limit = self.gettimeout()
                self.settimeout(0)
                try:
                    return call()
                except ssl.SSLWantReadError:
                    events = select.POLLIN
                except ssl.SSLWantWriteError:
                    events = select.POLLOUT
                finally:
                    self.settimeout(limit)
            self._wait(events, limit)

    def _wait(self, events: int, limit: float | None) -> None:
        poll = select.poll()
        poll.register(self.fileno(), events)
        if not poll.poll(None if limit is None else limit * 1000):
            raise TimeoutError("timed out")


def shared_context(certificate: str) -> ssl.SSLContext:
    """Return a client's context that trusts whoever has a certificate of this file."""
    context = ssl.create_default_context(cafile=certificate)
    context.sslsocket_class = _SharedSocket
    return context
