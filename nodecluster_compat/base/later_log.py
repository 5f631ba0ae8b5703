"""Log from another thread: what it says is written on a later turn of a loop."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from .log import Log
    from .loop import Loop

__all__ = ["LaterLog"]


class LaterLog:
    """A log that any thread may call, and that never makes it wait.

    Args:
        loop: writes the lines, on its own thread.
        log: where they go.
    """

    def __init__(self, loop: Loop, log: Log) -> None:
        self._loop = loop
        self._log = log

    def __getattr__(self, name: str) -> Callable[..., None]:
        method: Callable[..., Any] = getattr(self._log, name)
        return lambda *args, **kwargs: self._loop.call_soon_threadsafe(lambda: method(*args, **kwargs))
