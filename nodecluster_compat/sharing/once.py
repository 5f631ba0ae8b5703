"""Run in one worker what is to run once in the life of the cluster: ``@cluster.once("warm-up")``."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Protocol

from ..base.arity import fitted
from ..base.handler_calls import Origin, awaits_handlers, current_origin, run_guarded
from ..errors import FrameError, RequestFailed
from .topics import checked_topic
from .wire import decode, encode

if TYPE_CHECKING:
    from .sides import Around

__all__ = ["Onces", "RemoteOnce"]


class _Once:
    def __init__(self, key: str, function: Callable[..., Any]) -> None:
        self.key = key
        self.origin: Origin = current_origin()
        self.call = fitted(function, 0, f"what runs once as {key!r}", is_awaited=awaits_handlers())


class RemoteOnce(Protocol):
    """What has run once on any of several hosts."""

    def seek(self, key: str, decided: Callable[[bool], None]) -> None:
        """Call ``decided(is_ours)`` as soon as it is this process' turn to run it, or another one has."""

    def has_run(self, key: str, noted: Callable[[], None]) -> None:
        """It has run here, as it was its turn; ``noted`` is called when others know."""


class Onces:
    """What this process would run once, if it is the one.

    Args:
        sharing: around it.
        remote: returns what other hosts have run; ``None`` where there are none.
    """

    def __init__(self, sharing: Around, remote: Callable[[], RemoteOnce | None] = lambda: None) -> None:
        self._sharing = sharing
        self._find_remote = remote
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
        """Begin: this process is a worker that runs."""
        waiting, self._waiting = self._waiting, []
        for one in waiting:
            self._ask(one)

    def _ask(self, one: _Once) -> None:
        self._sharing.side.call("once", encode(one.key), partial(self._answered, one))

    def _answered(self, one: _Once, error: Exception | None, value: Any) -> None:  # noqa: ANN401 - encoded
        if isinstance(error, RequestFailed):
            self._sharing.log.error("once(%r) runs nowhere: %s", one.key, error)
        try:
            is_ours: bool = error is None and decode(value, bool)
        except FrameError:
            return
        remote = self._find_remote() if is_ours else None
        if remote is not None:
            remote.seek(one.key, partial(self._decided, one, remote))
        elif is_ours:
            self._run(one, partial(self._done, one))

    def _decided(self, one: _Once, remote: RemoteOnce, is_ours: bool) -> None:
        if is_ours:
            self._run(one, partial(remote.has_run, one.key, partial(self._done, one)))
        else:
            self._done(one)

    def _run(self, one: _Once, then: Callable[[], None]) -> None:
        member = self._sharing.member
        if member is not None and member.runtime is not None:
            run = partial(run_guarded, f"once {one.key!r}", one.origin, one.call)
            member.runtime.spawn(run, then)

    def _done(self, one: _Once) -> None:
        self._sharing.side.call("once done", encode(one.key), None)
