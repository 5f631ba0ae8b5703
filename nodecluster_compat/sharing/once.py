"""Run in one worker what is to run once in the life of the cluster: ``@cluster.once("warm-up")``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.arity import fitted
from ..base.emitter import Origin, awaits_handlers, current_origin, run_guarded
from ..errors import FrameError
from .topics import checked_topic
from .wire import decode, encode

if TYPE_CHECKING:
    from .sides import Around

__all__ = ["Onces"]


class _Once:
    def __init__(self, key: str, function: Callable[..., Any]) -> None:
        self.key = key
        self.origin: Origin = current_origin()
        self.call = fitted(function, 0, f"what runs once as {key!r}", is_awaited=awaits_handlers())


class Onces:
    """What this process would run once, if it is the one."""

    def __init__(self, sharing: Around) -> None:
        self._sharing = sharing
        self._waiting: list[_Once] = []

    def add(self, key: str, function: Callable[..., Any]) -> None:
        """Run a function, if no worker has.

        Raises:
            ArgumentError: the key is none, or the function needs arguments.
        """
        one = _Once(checked_topic(key, "a key"), function)
        member = self._sharing.member
        if member is None or member.runtime is None:
            self._waiting.append(one)
        else:
            self._ask(one)

    def attached(self) -> None:
        """This process is a worker that runs."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._ask(one)

    def _ask(self, one: _Once) -> None:
        self._sharing.side.call("once", encode(one.key), partial(self._answered, one))

    def _answered(self, one: _Once, error: Exception | None, value: Any) -> None:  # noqa: ANN401 - encoded
        try:
            is_ours: bool = error is None and decode(value, bool)
        except FrameError:
            return
        member = self._sharing.member
        if is_ours and member is not None and member.runtime is not None:
            run = partial(run_guarded, f"once {one.key!r}", one.origin, one.call)
            member.runtime.spawn(run, partial(self._done, one))

    def _done(self, one: _Once) -> None:
        self._sharing.side.call("once done", encode(one.key), None)
