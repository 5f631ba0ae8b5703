"""Find the requests that take too long, by a look at all of them when the first of them could be late.  Pure.

No request has a timer.  At a *look* the engine that serves requests says which are in flight and since when.  It is
told which are late, and when the next one can be (:meth:`TimeLimits.pause`): the oldest that is in flight now, or one
that begins now.  So a limit costs a request nothing, and a worker one look in each period of that length; and it comes
when it is due.

A request that goes on all the same, because the application has caught what was raised, is late again when as much
time has passed once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final, Generic, TypeVar

from msgspec import Struct

__all__ = ["Late", "TimeLimits"]

_SHORTEST_PAUSE: Final = 0.001
_LONGEST_PAUSE: Final = 3600.0  # not every loop takes any number of seconds
_KEPT_SECONDS: Final = 1.0  # so long at least is kept what is known of a single request, and little longer

Key = TypeVar("Key")


class Late(Struct, Generic[Key], frozen=True):
    """A request that takes too long.

    Attributes:
        key: which.
        since: when it began: seconds, of whatever clock.
        seconds: that it may take.
        has_own: whether that is its own limit, and not the usual one.
    """

    key: Key
    since: float
    seconds: float
    has_own: bool


class TimeLimits(Generic[Key]):
    """The limits of one worker's requests.

    Args:
        usual: seconds that a request may take; 0 for no limit.

    A request is a key and the time since when it is in flight: the next one with that key began at another time.
    """

    def __init__(self, usual: float = 0.0) -> None:
        self._usual = usual
        self._own: dict[Key, tuple[float, float]] = {}  # since when, and how long
        self._told: dict[Key, tuple[float, int]] = {}  # since when, and how often

    def set(self, key: Key, since: float, seconds: float) -> None:
        """Give a request in flight a limit of its own, counted from when it began; 0 for none."""
        self._own[key] = since, seconds

    @property
    def remembers(self) -> bool:
        """Whether something is known of single requests, which a look forgets when they have ended."""
        return bool(self._own or self._told)

    def pause(self, in_flight: Iterable[tuple[Key, float]], now: float) -> float | None:
        """Return the seconds until the next look; ``None``: nobody has a limit.

        Args:
            in_flight: requests, and since when; those that begin later need not be asked for before the next look.
            now: the time by the same clock.
        """
        dues = [due for one in in_flight if (due := self._due(*one)) is not None]
        if self._usual:
            dues.append(now + self._usual)
        if self.remembers:
            dues.append(now + _KEPT_SECONDS)
        return min(max(_SHORTEST_PAUSE, min(dues) - now), _LONGEST_PAUSE) if dues else None

    def late(self, in_flight: Iterable[tuple[Key, float]], now: float) -> list[Late[Key]]:
        """Return the requests that are late, each of them once; forget what is not in flight any more.

        Args:
            in_flight: all of them, and since when.
            now: the time by the same clock.
        """
        requests = list(in_flight)
        found = list(self._late(requests, now))
        if self.remembers:
            alive = dict(requests)
            _forget(self._own, alive, now)
            _forget(self._told, alive, now)
        for one in found:
            self._told[one.key] = one.since, self._times_told(one.key, one.since) + 1
        return found

    def _late(self, requests: Iterable[tuple[Key, float]], now: float) -> Iterator[Late[Key]]:
        for key, since in requests:
            due = self._due(key, since)
            if due is not None and now >= due:
                yield Late(key, since, *self._limit(key, since))

    def _due(self, key: Key, since: float) -> float | None:
        seconds, _ = self._limit(key, since)
        return since + seconds * (1 + self._times_told(key, since)) if seconds else None

    def _limit(self, key: Key, since: float) -> tuple[float, bool]:
        """Return the seconds that a request may take, and whether that is its own limit."""
        own = self._own.get(key)
        return (self._usual, False) if own is None or own[0] != since else (own[1], True)

    def _times_told(self, key: Key, since: float) -> int:
        told = self._told.get(key)
        return told[1] if told is not None and told[0] == since else 0


def _forget(known: dict[Key, tuple[float, Any]], alive: Mapping[Key, float], now: float) -> None:
    """Forget requests that are not in flight; not the youngest, which another thread may just have begun."""
    for key, (since, _) in list(known.items()):
        if alive.get(key) != since and since <= now - _KEPT_SECONDS:
            known.pop(key, None)
