"""Find out, once a worker has booted, which of its signal handlers the application has replaced, and say so once.

The primary ends a worker by a signal and over its channel, so one that has a handler of its own for SIGTERM drains all
the same.  What that handler does happens at once: one that exits takes the requests in flight with it.
"""

from __future__ import annotations

import signal as signals
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Any

from .said_once import Topic, is_first_to_say

if TYPE_CHECKING:
    from ..base.log import Log

__all__ = ["replaced_handlers", "warn_of_replaced"]


def replaced_handlers(ours: Mapping[int, Callable[..., Any]]) -> list[str]:
    """Return the signals of ``ours`` that have another handler now, each with its name."""
    found = []
    for number, handler in ours.items():
        now = signals.getsignal(number)
        if now != handler:
            found.append(f"{signals.Signals(number).name} ({_name_of(now)})")
    return found


def warn_of_replaced(log: Log, ours: Mapping[int, Callable[..., Any]]) -> None:
    """Warn of them, unless another worker of this generation has."""
    replaced = replaced_handlers(ours)
    if replaced and is_first_to_say(Topic.REPLACED_HANDLERS):
        log.warning(
            "The application has replaced signal handlers of the worker: %s. The worker still drains when the server "
            "ends it, but a handler that exits loses the requests in flight: clean up in the worker_exit hook, or in "
            "a handler of cluster.worker.on('disconnecting')",
            ", ".join(replaced),
        )


def _name_of(handler: object) -> str:
    if handler is None or handler in (signals.SIG_DFL, signals.SIG_IGN):
        return "not from Python" if handler is None else signals.Handlers(handler).name  # type: ignore[arg-type]
    module = getattr(handler, "__module__", None)
    name = getattr(handler, "__qualname__", None) or type(handler).__qualname__
    return f"{module}.{name}" if module else str(name)
