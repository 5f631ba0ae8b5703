"""Define what a channel asks of the event loop of its process.

The primary's :class:`~nodecluster_compat.base.loop.Loop` and the worker runtimes both offer it, so the
channels themselves assume neither epoll nor gevent.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, Protocol

__all__ = ["Reactor"]


class Reactor(Protocol):
    """Readiness of descriptors and deferred calls; callbacks must not block."""

    def add_reader(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is readable or closed."""

    def remove_reader(self, fd: int) -> None:
        """Stop watching ``fd`` for reading; a no-op when it is not watched."""

    def add_writer(self, fd: int, callback: Callable[[], None]) -> None:
        """Call back whenever ``fd`` is writable or broken."""

    def remove_writer(self, fd: int) -> None:
        """Stop watching ``fd`` for writing; a no-op when it is not watched."""

    def at_turn_end(self, callback: Callable[[], None]) -> None:
        """Call back before the loop waits again."""

    def call_soon(self, callback: Callable[..., Any], *args: Any) -> None:
        """Call back on the next turn, in the order of the calls."""

    def call_later(self, seconds: float, callback: Callable[[], None]) -> object:
        """Call back after ``seconds``."""
