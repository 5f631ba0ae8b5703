"""Keep a process alive while something of it is open that may wait for ever: its channel, a server that listens.

gevent's hub ends when no watcher is left that counts.  What we watch does not count by itself, because one descriptor
may stand for many servers, and a dealt server has none.  What counts is who holds here: ``unref()`` is one step.
"""

from __future__ import annotations

from typing import Any

from gevent import get_hub

__all__ = ["KeepAlive"]


class KeepAlive:
    """Keeps the hub of this thread turning, at least until the last of its holders lets go."""

    def __init__(self) -> None:
        self._holders: set[object] = set()
        self._watcher: Any = None

    def __bool__(self) -> bool:
        return bool(self._holders)

    def hold(self, holder: object) -> None:
        """Keep the hub turning for ``holder``; a second time changes nothing."""
        if not self._holders:
            self._watcher = get_hub().loop.async_()  # never sent: it counts, and does nothing
            self._watcher.start(_nothing)
        self._holders.add(holder)

    def release(self, holder: object) -> None:
        """``holder`` is done, or does not count; a no-op where it does not hold."""
        if holder in self._holders:
            self._holders.discard(holder)
            if not self._holders:
                self._stop()

    def abandon(self) -> None:
        """In a forked child: nobody holds here any more."""
        self._holders.clear()
        self._stop()

    def _stop(self) -> None:
        if self._watcher is not None:
            self._watcher.stop()
            self._watcher.close()
            self._watcher = None


def _nothing() -> None:
    """What the watcher would call."""
