"""Have one worker run what is to run once in the life of the cluster; another one if that ends before it is done.

asked ──a worker serves──▶ runs ──done──▶ done, for ever
▲               └──its process ends──┐
└────────────────────────────────────┘
"""

from __future__ import annotations

from collections import deque
from contextlib import suppress
from typing import Final, Protocol

from msgspec import Struct, field

from ..errors import FrameError, StoreUnavailable
from .exchange import Exchange
from .lock_desk import MOST_NAME_BYTES, Names
from .outcomes import Failure
from .verbs import Caller, Moment, Returning

__all__ = ["Marks", "OnceDesk"]

_MOST_KEYS: Final = 10_000  # each is known until the cluster ends
_RETRY_SECONDS: Final = 0.1


class Marks(Names, Protocol):
    """Names, and marks that stay as long as the cluster."""

    def mark(self, name: str) -> None:
        """Note a name."""

    def is_marked(self, name: str) -> bool:
        """Whether a name was noted."""


class _Key(Struct):
    runner: int | None = None
    waiting: deque[tuple[int, Returning]] = field(default_factory=deque)


class OnceDesk:
    """What runs once, of one exchange.

    Args:
        exchange: where the verbs are registered.
        marks: shared with another primary during an upgrade.
        is_ready_at: when a worker can run something: once it listens, or in a script as soon as it runs.
    """

    def __init__(self, exchange: Exchange, marks: Marks, is_ready_at: Moment = "listening") -> None:
        self._exchange = exchange
        self._marks = marks
        self._is_ready_at = is_ready_at
        self._keys: dict[str, _Key] = {}
        self._done: set[str] = set()
        self._ready: set[int] = set()
        self._retries = False
        exchange.verbs.on("once", str, self._once)
        exchange.verbs.on("once done", str, self._has_done)
        exchange.when_told.append(self._told)

    def _once(self, caller: Caller, key: str, returning: Returning) -> None:
        if not 0 < len(key.encode()) <= MOST_NAME_BYTES:
            raise FrameError("a worker would run once what has no name")
        if key not in self._keys and key not in self._done and len(self._keys) + len(self._done) >= _MOST_KEYS:
            returning.failure(Failure("failed", f"{_MOST_KEYS} keys have run once, or wait, which is the most"))
            return
        self._keys.setdefault(key, _Key()).waiting.append((caller.id, returning))
        self._look(key)

    def _has_done(self, caller: Caller, key: str, _: Returning) -> None:
        one = self._keys.get(key)
        if one is None or one.runner != caller.id:
            return
        self._done.add(key)
        with suppress(StoreUnavailable):  # then a master that is upgraded to runs it again
            self._marks.mark(_name(key))
        self._names_back(key)
        self._look(key)

    def _told(self, moment: Moment, worker: int) -> None:
        if moment == self._is_ready_at:
            self._ready.add(worker)
        elif moment == "leaving":
            self._ready.discard(worker)
        elif moment == "ended":
            self._ready.discard(worker)
            self._ended(worker)
        else:
            return
        for key in list(self._keys):
            self._look(key)

    def _ended(self, worker: int) -> None:
        for key, one in self._keys.items():
            one.waiting = deque(entry for entry in one.waiting if entry[0] != worker)
            if one.runner == worker:
                one.runner = None
                self._names_back(key)

    def _look(self, key: str) -> None:
        one = self._keys[key]
        if key in self._done or self._marks.is_marked(_name(key)):
            self._done.add(key)
            for _, returning in one.waiting:
                returning.value(False)
            del self._keys[key]
            return
        candidate = next((entry for entry in one.waiting if entry[0] in self._ready), None)
        if one.runner is not None or candidate is None:
            return
        if not self._seize(key):
            self._retry_later()
            return
        one.runner, returning = candidate
        one.waiting.remove(candidate)
        returning.value(True)

    # --- another primary -----------------------------------------------------------------------

    def _seize(self, key: str) -> bool:
        try:
            return self._marks.take(_name(key))
        except StoreUnavailable:
            return True

    def _names_back(self, key: str) -> None:
        self._marks.give_back(_name(key))

    def _retry_later(self) -> None:
        if not self._retries:
            self._retries = True
            self._exchange.timers.call_later(_RETRY_SECONDS, self._retry)

    def _retry(self) -> None:
        self._retries = False
        for key in list(self._keys):
            self._look(key)


def _name(key: str) -> str:
    return f"once:{key}"
