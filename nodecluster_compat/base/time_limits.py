"""Know which requests take too long, by a look at all of them now and then.  Pure.

No request has a timer: whoever serves them says which are in flight and since when, four times a second at most, and
is told which are late.  So a limit costs a request nothing, and comes up to :data:`LOOK_SECONDS` late.

A request that goes on all the same, because the application has caught what was raised, is late again when as much
time has passed once more.
"""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from typing import Final, Generic, TypeVar

__all__ = ["LOOK_SECONDS", "Late", "TimeLimits"]

LOOK_SECONDS: Final = 0.25
_SHORTEST_PAUSE: Final = 0.01
_LOOKS: Final = 4  # within the shortest limit

Key = TypeVar("Key")


@dataclass(frozen=True, slots=True)
class Late(Generic[Key]):
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
        self._own: dict[tuple[Key, float], float] = {}
        self._told: dict[tuple[Key, float], int] = {}

    def set(self, key: Key, since: float, seconds: float) -> None:
        """Give a request in flight a limit of its own, counted from when it began; 0 for none."""
        self._own[key, since] = seconds

    @property
    def pause(self) -> float | None:
        """Seconds until the next look; ``None``: nobody has a limit."""
        limits = [seconds for seconds in (self._usual, *self._own.values()) if seconds]
        return max(_SHORTEST_PAUSE, min(LOOK_SECONDS, min(limits) / _LOOKS)) if limits else None

    def late(self, in_flight: Iterable[tuple[Key, float]], now: float) -> list[Late[Key]]:
        """Return the requests that are late, each of them once; forget what is not in flight any more.

        Args:
            in_flight: all of them, and since when.
            now: the time by the same clock.
        """
        requests = list(in_flight)
        found = list(self._late(requests, now))
        if self._own or self._told:
            alive = set(requests)
            self._own = {request: limit for request, limit in self._own.items() if request in alive}
            self._told = {request: times for request, times in self._told.items() if request in alive}
        for one in found:
            request = one.key, one.since
            self._told[request] = self._told.get(request, 0) + 1
        return found

    def _late(self, requests: Iterable[tuple[Key, float]], now: float) -> Iterator[Late[Key]]:
        for request in requests:
            key, since = request
            seconds = self._own.get(request, self._usual)
            if seconds and now - since >= seconds * (1 + self._told.get(request, 0)):
                yield Late(key, since, seconds, request in self._own)
