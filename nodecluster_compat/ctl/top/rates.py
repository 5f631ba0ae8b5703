"""Work out what a server does a second, of what it has counted from one status to the next.  Pure."""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["NO_RATES", "DurationWindow", "History", "Rates", "WorkerRates"]

WINDOW_SECONDS: Final = 60.0
"""Of which durations are told."""

_LEAST_SECONDS: Final = 0.05  # between two statuses of which rates are told
_MOST_SAMPLES: Final = 1000

Status = Mapping[str, Any]


@dataclass(frozen=True, slots=True)
class WorkerRates:
    """What one worker does; ``None`` where it is not known.

    Attributes:
        requests: that it answers a second.
        cpu: how much of a core it uses, 1.0 for all of it.
    """

    requests: float | None = None
    cpu: float | None = None


@dataclass(frozen=True, slots=True)
class DurationWindow:
    """How long the requests of the last minute took.

    Attributes:
        bounds: the upper bounds of the buckets, in seconds.
        counts: of each bucket, and of what took longer.
        seconds: that all took together.
    """

    bounds: tuple[float, ...]
    counts: tuple[int, ...]
    seconds: float

    @property
    def mean(self) -> float | None:
        """Seconds that one took on average; ``None`` if there was none."""
        return self.seconds / sum(self.counts) if sum(self.counts) else None

    def quantile(self, share: float) -> float | None:
        """Return the bound below which that share of the requests stayed: what is known, no guess between two bounds.

        Args:
            share: above 0, at most 1.

        Returns:
            Seconds, infinity above the last bound; ``None`` if there was no request.
        """
        reached, needed = 0, share * sum(self.counts)
        if not needed:
            return None
        for bound, count in zip((*self.bounds, math.inf), self.counts, strict=False):
            reached += count
            if reached >= needed:
                return bound
        return math.inf


@dataclass(frozen=True, slots=True)
class Rates:
    """What a server does; ``None`` where it is not known.

    Attributes:
        requests: that it answers a second.
        failed: of these, by 5xx.
        cpu: how many cores its workers use.
        workers: of each worker, by its id.
        durations: of the last minute.
    """

    requests: float | None = None
    failed: float | None = None
    cpu: float | None = None
    workers: Mapping[int, WorkerRates] = field(default_factory=dict)
    durations: DurationWindow | None = None


NO_RATES: Final = Rates()


class History:
    """The statuses of the last minute; another server begins a history of its own."""

    def __init__(self) -> None:
        self._kept: deque[Status] = deque(maxlen=_MOST_SAMPLES)
        self._rates = NO_RATES

    def add(self, status: Status) -> Rates:
        """Take a status, and return what has been done since the one before."""
        kept = self._kept
        if kept and (kept[-1]["pid"] != status["pid"] or status["uptime"] < kept[-1]["uptime"]):
            kept.clear()
            self._rates = NO_RATES
        if kept and status["uptime"] - kept[-1]["uptime"] < _LEAST_SECONDS:
            return self._rates
        kept.append(status)
        while status["uptime"] - kept[0]["uptime"] > WINDOW_SECONDS:
            kept.popleft()
        if len(kept) > 1:
            self._rates = _rates(kept[-2], status, _durations(kept[0], status))
        return self._rates


def _rates(before: Status, now: Status, durations: DurationWindow | None) -> Rates:
    passed = now["uptime"] - before["uptime"]
    known = {one["id"]: one for one in before["workers"]}
    workers = {one["id"]: _worker_rates(known.get(one["id"]), one, passed) for one in now["workers"]}
    used = [one.cpu for one in workers.values() if one.cpu is not None]
    return Rates(
        _rate(before["totals"]["requests"], now["totals"]["requests"], passed),
        _rate(_failed(before), _failed(now), passed),
        sum(used) if used else None,
        workers,
        durations,
    )


def _worker_rates(before: Mapping[str, Any] | None, now: Mapping[str, Any], passed: float) -> WorkerRates:
    if before is None:
        return WorkerRates()
    return WorkerRates(
        _rate(before["requests"], now["requests"], passed), _rate(before["cpu_seconds"], now["cpu_seconds"], passed)
    )


def _rate(before: float | None, now: float | None, passed: float) -> float | None:
    return None if before is None or now is None else max(0.0, now - before) / passed


def _failed(status: Status) -> int | None:
    responses = status["totals"]["responses"]
    return None if responses is None else int(responses.get("5xx", 0))


def _durations(first: Status, now: Status) -> DurationWindow | None:
    before, after = first["totals"].get("durations"), now["totals"].get("durations")
    if before is None or after is None:
        return None
    counts = _less(after["counts"], before["counts"])
    return DurationWindow(tuple(after["bounds"]), counts, max(0.0, after["seconds"] - before["seconds"]))


def _less(counts: Sequence[int], before: Sequence[int]) -> tuple[int, ...]:
    return tuple(max(0, one - other) for one, other in zip(counts, before, strict=False))
