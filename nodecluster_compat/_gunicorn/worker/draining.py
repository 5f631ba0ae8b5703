"""Drain a worker that ends: connections keep the time that they were promised, and the rest is cut at the limit.

    begin ──▶ ``disconnecting`` is told; every further answer says ``Connection: close``
      │
      ├── ``close_idle`` ──▶ idle connections end; otherwise each has the rest of its ``keepalive``
      ├── all have ended, and the handlers of ``disconnecting`` too ──▶ over
      └── the limit ──▶ cut: see the engine's ``Connections.cut``; one warning

A client that was told ``Connection: keep-alive`` may be sending its next request at any moment, and cannot know that
its worker ends (RFC 9112 §9.6).  So idle connections stay, as with gunicorn's own workers: the successor serves
already, and nobody waits for this one.  Only where the whole server ends are they closed at once.

A websocket or a stream is a request in flight: it has until the limit.
"""

from __future__ import annotations

import os
import time
from collections.abc import Callable
from functools import partial
from typing import Protocol

from ...base.log import Log
from .drained_connections import Connections

__all__ = ["Drain"]


class _Runtime(Protocol):
    """What a drain asks of its engine."""

    def spawn(self, call: Callable[[], None], then: Callable[[], None] | None = None) -> None:
        """Run ``call`` beside requests, and ``then`` after it."""


class Drain:
    """One drain; it begins when it is made.

    Args:
        connections: of the worker.
        seconds: until :meth:`cut` is due.
        runtime: runs ``say_goodbye``.
        say_goodbye: tells the application; it may block.
        wake: called when that has ended.
        log: for the one line.
    """

    def __init__(
        self,
        connections: Connections,
        seconds: float,
        runtime: _Runtime,
        say_goodbye: Callable[[float], None],
        wake: Callable[[], None],
        log: Log,
    ) -> None:
        self._connections = connections
        self._seconds = seconds
        self._limit = time.monotonic() + seconds
        self._wake = wake
        self._log = log
        self._has_said_goodbye = False
        runtime.spawn(partial(say_goodbye, seconds), self._said_goodbye)

    def _said_goodbye(self) -> None:
        self._has_said_goodbye = True
        self._wake()

    def close_idle(self) -> None:
        """Wait no longer for a further request on idle connections: at once, or when they have been answered."""
        self._connections.end_idle()

    @property
    def is_over(self) -> bool:
        """Whether nobody is left to wait for."""
        return not len(self._connections) and self._has_said_goodbye

    @property
    def seconds_left(self) -> float:
        """Until the limit; 0 or less when it has come."""
        return self._limit - time.monotonic()

    def cut(self) -> None:
        """End what is left, and say how much it was: an idle connection loses nothing, so it does not count."""
        self._connections.end_idle_now()
        if self.is_over:
            return
        self._log.warning(
            "Worker graceful timeout (pid:%s): cut %s connections that had not ended within %g s",
            os.getpid(),
            len(self._connections),
            self._seconds,
        )
        self._connections.cut()
