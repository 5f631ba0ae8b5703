"""Let signal handlers of a script's worker wait: ``signal.signal``, where a worker is made cooperative.

Python calls a handler wherever the main thread is.  In an idle worker that is gevent's hub, where nothing may wait:
not even ``threading.Timer(1, call).start()``, which waits for its thread.  So a handler that has interrupted the hub
runs in a greenlet, at once; one that has interrupted a greenlet runs there, as ever.
"""

from __future__ import annotations

import signal
from collections.abc import Callable
from types import FrameType
from typing import Any

import gevent
from gevent import get_hub, getcurrent

from .at_once import run_at_once

__all__ = ["let_handlers_wait"]

_OURS = __name__.partition(".")[0]


class _Handler:
    """A handler that somebody has registered."""

    def __init__(self, call: Callable[[int, FrameType | None], Any]) -> None:
        self.call = call

    def __call__(self, number: int, frame: FrameType | None) -> None:
        if getcurrent() is get_hub():
            run_at_once(gevent.Greenlet(self.call, number, frame))
        else:
            self.call(number, frame)


def let_handlers_wait() -> None:
    """Replace ``signal.signal`` and ``signal.getsignal`` in this worker, as gevent does before."""
    usual_set, usual_get = signal.signal, signal.getsignal

    def set_handler(signalnum: int, handler: Any) -> Any:  # noqa: ANN401 - as typeshed has it, nearly
        return _registered(usual_set(signalnum, _waiting(handler)))

    def get_handler(signalnum: int) -> Any:  # noqa: ANN401 - likewise
        return _registered(usual_get(signalnum))

    signal.signal, signal.getsignal = set_handler, get_handler


def _waiting(handler: Any) -> Any:  # noqa: ANN401 - anything may be given, and is refused by Python
    if not callable(handler) or str(getattr(handler, "__module__", "")).partition(".")[0] == _OURS:
        return handler
    return _Handler(handler)


def _registered(handler: Any) -> Any:  # noqa: ANN401 - whatever Python says
    return handler.call if isinstance(handler, _Handler) else handler
