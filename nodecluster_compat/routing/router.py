"""Decide which worker serves a request, in the worker that has read its head: pure, but for a clock and a log.

A wrong decision does not last: a request that came from another worker is served where it is, so none goes round in
circles.  So is a request whose worker is dead or unknown, as without routing.
"""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from ..base.log import Log
from ..base.rendezvous import place_of
from .head import MOST_BYTES, RequestHead, first_line_ends, head_ends
from .keys import ANYBODY, Found, Key

__all__ = ["ANYONE", "HERE", "MORE", "Router"]

ANYONE: Final = 0
"""A decision: whoever is next by the policy."""

HERE: Final = -1
"""A decision: this worker."""

MORE: Final = -2
"""A decision: not yet, more of the head must come."""

_HTTP2: Final = b"PRI * HTTP/2"
_SLOW_SECONDS: Final = 0.1
_TELL_AGAIN_SECONDS: Final = 60.0


class Router:
    """Decides by keys.

    Args:
        keys: asked one after another; what the first of them finds counts.
        worker_id: of this worker.
        members: returns the workers that serve now, by slot.
        log: told of keys that fail, or take too long.
        clock: seconds.
    """

    def __init__(
        self,
        keys: Sequence[Key],
        worker_id: int,
        members: Callable[[], Mapping[int, int]],
        log: Log,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self.keys = tuple(keys)
        self._worker_id = worker_id
        self._members = members
        self._log = log
        self._clock = clock
        self._needs_fields = any(key.needs_fields for key in keys)
        hints = [key.hint for key in keys]
        self._hints = None if self._needs_fields else [hint for hint in hints if hint is not None]
        if self._hints is not None and len(self._hints) < len(hints):
            self._hints = None
        self._ends = head_ends if self._needs_fields else first_line_ends
        self._told: dict[str, float] = {}

    @property
    def hint(self) -> bytes | None:
        """What is in every first line that may be another worker's; ``None`` where a look is not enough."""
        return self._hints[0] if self._hints is not None and len(self._hints) == 1 else None

    def decide(self, data: bytes | bytearray, is_reused: bool, start: int = 0) -> int:
        """Return who serves a request: a worker's id, :data:`ANYONE`, :data:`HERE`, or :data:`MORE`.

        Args:
            data: what has come of it.
            is_reused: whether it is not the first of its connection; only then a new session is worth a new choice.
            start: how much of it had come when :data:`MORE` was the answer.
        """
        if not self._ends(data, start):
            return HERE if len(data) >= MOST_BYTES or data.startswith(_HTTP2) else MORE
        hints = self._hints
        if hints is not None:
            for hint in hints:
                if hint in data:
                    break
            else:
                return HERE
        found = self._find(RequestHead(data))
        if found is ANYBODY:
            return ANYONE if is_reused and len(self._members()) > 1 else HERE
        return self._target(found)

    def _target(self, found: int | str | object) -> int:
        if found is None:
            return HERE
        members = self._members()
        if isinstance(found, str):
            slot = place_of(found, members)
            found = HERE if slot is None else members[slot]
        if not isinstance(found, int) or found == self._worker_id or found not in members.values():
            return HERE
        return found

    def _find(self, head: RequestHead) -> Found:
        for key in self.keys:
            started = self._clock()
            try:
                found = key.find(head)
            except Exception as error:  # noqa: BLE001 - whatever a key raises, its request is served
                self._tell(key, f"failed: {error!r}", error)
                continue
            seconds = self._clock() - started
            if seconds > _SLOW_SECONDS:
                self._tell(key, f"took {seconds:.1f} s, and this worker may have served nobody meanwhile", None)
            if found is not None:
                return found
        return None

    def _tell(self, key: Key, what: str, error: Exception | None) -> None:
        """Say once a minute what is wrong with a key."""
        name, now = _name(key), self._clock()
        if now - self._told.get(name, -_TELL_AGAIN_SECONDS) >= _TELL_AGAIN_SECONDS:
            self._told[name] = now
            tail = "" if error is None else ". Its requests are served where they arrive"
            self._log.error("The routing key %s %s%s", name, what, tail, exc_info=error)


def _name(key: Key) -> str:
    function = getattr(key, "function", None)
    return str(getattr(function, "__name__", None) or type(key).__name__)
