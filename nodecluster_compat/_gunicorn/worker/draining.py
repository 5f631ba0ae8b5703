"""Drain a worker that ends: connections keep the time that they were promised, and the rest is cut at the limit.

    begin ──▶ ``disconnecting`` is told; every further answer says ``Connection: close``
      │
      ├── ``close_idle`` ──▶ idle connections end; otherwise each has the rest of its ``keepalive``
      ├── all have ended, and the handlers of ``disconnecting`` too ──▶ over
      └── the limit ──▶ cut: greenlets are killed (their ``finally`` runs), then their sockets are shut; one warning

A client that was told ``Connection: keep-alive`` may be sending its next request at any moment, and cannot know that
its worker ends (RFC 9112 §9.6).  So idle connections stay, as with gunicorn's own gevent worker: the successor serves
already, and nobody waits for this one.  Only where the whole server ends are they closed at once.

A websocket or a stream is a request in flight: it has until the limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Mapping
from typing import Any, Final

import gevent

from ...base.log import Log
from ...runtime.client_socket import cut_connections
from ...runtime.idle_limit import IdleLimit

__all__ = ["Drain"]

_CUT_SECONDS: Final = 1.0
_CUT_TURN: Final = 0.01


class Drain:
    """One drain; it begins when it is made.

    Args:
        clients: the connections, by greenlet; those that end leave the mapping.
        waits: knows which of them are idle; ``None`` where nobody does.
        seconds: until :meth:`cut` is due.
        say_goodbye: tells the application; in a greenlet of its own, it may block.
        wake: called when that has ended.
        log: for the one line.
    """

    def __init__(
        self,
        clients: Mapping[Any, Any],
        waits: IdleLimit | None,
        seconds: float,
        say_goodbye: Callable[[float], None],
        wake: Callable[[], None],
        log: Log,
    ) -> None:
        self._clients = clients
        self._waits = waits
        self._seconds = seconds
        self._limit = time.monotonic() + seconds
        self._log = log
        self._goodbye = gevent.spawn(say_goodbye, seconds)
        self._goodbye.link(lambda _: wake())

    def close_idle(self) -> None:
        """Wait no longer for a further request on idle connections: at once, or when they have been answered."""
        if self._waits is not None:
            self._waits.finish(self._clients)

    @property
    def is_over(self) -> bool:
        """Whether nobody is left to wait for."""
        return not self._clients and self._goodbye.dead

    @property
    def seconds_left(self) -> float:
        """Until the limit; 0 or less when it has come."""
        return self._limit - time.monotonic()

    def cut(self) -> None:
        """End what is left, and say how much it was: an idle connection loses nothing, so it does not count."""
        if self._waits is not None:
            self._waits.finish(self._clients)
            self._waits.finish_now()
            gevent.sleep(0)
        if self.is_over:
            return
        count = len(self._clients)
        self._log.warning(
            "Worker graceful timeout (pid:%s): cut %s connections that had not ended within %g s",
            os.getpid(),
            count,
            self._seconds,
        )
        cut_connections(self._clients)
        patience = time.monotonic() + _CUT_SECONDS
        while self._clients and time.monotonic() < patience:
            gevent.sleep(_CUT_TURN)
