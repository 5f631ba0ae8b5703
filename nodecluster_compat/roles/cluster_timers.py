"""Give ``cluster`` the timers of Node: ``set_timeout``, ``set_interval`` and what calls them off, in every role."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..base.arguments import checked_callable
from ..base.arity import fitted
from ..base.emitter import Emitter
from ..base.handler_calls import current_origin
from ..base.timers import Timer, seconds_of

__all__ = ["ClusterTimers"]


class ClusterTimers(Emitter):
    """The members of ``cluster`` that are timers."""

    def set_timeout(self, callback: Callable[..., Any], milliseconds: float | None = None, *args: Any) -> Timer:
        """Call ``callback(*args)`` once after a while (Node: ``setTimeout``); :meth:`clear_timeout` calls it off.

        In a worker it runs in a greenlet of its own and may block; in the primary it must not.  What it raises is an
        uncaught exception.  May be called in a signal handler.

        Args:
            callback: what to call.
            milliseconds: 1 or more, as in Node; ``None`` is 1.
            args: what to call it with, as far as it takes them; parameters beyond them are ``None``.

        Returns:
            A timer with Node's methods: ``unref()``, ``ref()``, ``has_ref()``, ``refresh()``, ``close()``.

        Raises:
            ArgumentError: ``callback`` cannot be called, or the delay is no number.
        """
        return self._set(callback, milliseconds, args, "set_timeout(callback, milliseconds)", repeats=False)

    def set_interval(self, callback: Callable[..., Any], milliseconds: float | None = None, *args: Any) -> Timer:
        """Call ``callback(*args)`` again and again (Node: ``setInterval``); otherwise as :meth:`set_timeout`.

        The next time counts from the beginning of this one, and comes when this one has returned.
        """
        return self._set(callback, milliseconds, args, "set_interval(callback, milliseconds)", repeats=True)

    def clear_timeout(self, timer: object) -> None:
        """Call off what :meth:`set_timeout` or :meth:`set_interval` returned; anything else is ignored, as in Node."""
        if isinstance(timer, Timer):
            timer.cancel()

    clear_interval = clear_timeout

    def _set(self, callback: object, milliseconds: object, args: tuple[Any, ...], call: str, *, repeats: bool) -> Timer:
        seconds = seconds_of(milliseconds)
        checked = checked_callable(callback, f"the first argument of {call}")
        fits = fitted(checked, len(args), f"the first argument of {call}", is_awaited=True)
        timer = Timer(fits, args, current_origin(), seconds, repeats=repeats, holds=True)
        self._start(timer)
        return timer

    def _start(self, timer: Timer) -> None:
        raise NotImplementedError
