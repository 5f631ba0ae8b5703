"""Aggregate the application's own metrics over all workers.

Counters, histograms and summaries are summed, and what a worker had counted when it ended stays in the sum.  A gauge
is made one by its mode, as ``prometheus_client`` documents it for several processes:

    sum, min, max, mostrecent     of all workers that ever were
    livesum, livemin, …           of those that live
    all, liveall                  one series for each slot, of the worker that has it or had it last

What a worker costs here is bounded: of those that have ended so much is kept, what the last ones had; and of those that
live so many series are told.
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from typing import TYPE_CHECKING, Final, TypeAlias

from .application_keys import Kind, ValueKey, told_names
from .families import Exemplar, Family, Labels, Sample

if TYPE_CHECKING:
    from .application_values import ApplicationValues

__all__ = ["ApplicationSum"]

_MOST_SERIES: Final = 64 * 1024  # of the workers that have ended, and as many more of those that live
_MOST_BYTES: Final = 16 * 1024 * 1024  # of the keys of workers that have ended


class _Gauge:
    """What becomes of a gauge's values: pairs of a value and when it was set, by slot."""

    def __init__(self) -> None:
        self.by_slot: dict[int, tuple[float, float]] = {}
        self.joined: tuple[float, float] | None = None

    def copy(self) -> _Gauge:
        made = _Gauge()
        made.by_slot, made.joined = dict(self.by_slot), self.joined
        return made

    def add(self, mode: str, slot: int, value: float, when: float) -> None:
        self.by_slot[slot] = value, when
        self.joined = (value, when) if self.joined is None else _JOINED[mode](self.joined, (value, when))


_Pair: TypeAlias = tuple[float, float]
_JOINED: Final[dict[str, Callable[[_Pair, _Pair], _Pair]]] = {
    "all": lambda _, one: one,
    "sum": lambda so_far, one: (so_far[0] + one[0], 0.0),
    "min": min,
    "max": max,
    "mostrecent": lambda so_far, one: one if one[1] > so_far[1] else so_far,
}


class ApplicationSum:
    """Adds up the values of several processes."""

    def __init__(self) -> None:
        self._counted: dict[ValueKey, float] = {}
        self._gauges: dict[ValueKey, _Gauge] = {}
        self._exemplars: dict[ValueKey, Exemplar] = {}
        self._sizes: dict[ValueKey, int] = {}  # of keys of workers that have ended, the last ones at the end
        self._bytes = 0  # of these keys
        self._most = _MOST_SERIES
        self._abouts: dict[str, str] = {}  # by family, of whoever was added last
        self.dropped = 0

    def copy(self) -> ApplicationSum:
        """Return the same, to be added to."""
        made = ApplicationSum()
        made._counted = dict(self._counted)
        made._gauges = {key: gauge.copy() for key, gauge in self._gauges.items()}
        made._exemplars = dict(self._exemplars)
        made._abouts = dict(self._abouts)
        made._most += len(made._counted) + len(made._gauges)
        made.dropped = self.dropped
        return made

    def add(self, slot: int, values: ApplicationValues, *, has_ended: bool = False, only_used: bool = False) -> None:
        """Add the values of a process.

        Args:
            slot: of the worker; 0 for the primary.
            values: its values.
            has_ended: whether they are its last ones.
            only_used: leave out what is 0.
        """
        kept: set[str] = set()
        for key, value, when in values.read():
            if (only_used and not value) or (has_ended and key.is_live):
                continue
            if has_ended:
                self._renew(key)
                kept.add(key.family)
            if not (key in self._counted or key in self._gauges) and self._is_full and not has_ended:
                self.dropped += 1
            elif key.kind == "gauge":
                gauge = self._gauges.setdefault(key, _Gauge())
                gauge.add(_mode(key), slot, value, when)
            else:
                self._counted[key] = self._counted.get(key, 0.0) + value
        abouts = values.abouts.items()
        self._abouts.update((family, about) for family, about in abouts if not has_ended or family in kept)
        self.dropped += values.dropped
        for key, exemplar in values.exemplars():
            known = self._exemplars.get(key)
            if key in self._counted and (known is None or known.timestamp <= exemplar.timestamp):
                self._exemplars[key] = exemplar
        self._forget_oldest()

    def _renew(self, key: ValueKey) -> None:
        """Note that a worker that has ended had this key."""
        size = self._sizes.pop(key, -1)
        if size < 0:
            size = key.size
            self._bytes += size
        self._sizes[key] = size

    def _forget_oldest(self) -> None:
        """Make room for what those had that have ended last, or a bad worker would keep everybody out for good."""
        before = len(self._sizes)
        while self._bytes > _MOST_BYTES or len(self._sizes) > _MOST_SERIES:
            key = next(iter(self._sizes))
            self._bytes -= self._sizes.pop(key)
            self._counted.pop(key, None)
            self._gauges.pop(key, None)
            self._exemplars.pop(key, None)
            self.dropped += 1
        if len(self._sizes) < before:
            families = {key.family for key in self._sizes}
            self._abouts = {family: about for family, about in self._abouts.items() if family in families}

    @property
    def _is_full(self) -> bool:
        return len(self._counted) + len(self._gauges) >= self._most

    def doubles(self, taken: Iterable[str]) -> frozenset[str]:
        """Return the names of the families whose lines could be taken for those of other families.

        Args:
            taken: names of families that are somebody else's; of two of the application the first one stays.
        """
        told = set[str]().union(*map(told_names, taken))
        kinds: dict[str, Kind] = {}
        for key in (*self._counted, *self._gauges):
            kinds.setdefault(key.family, key.kind)
        doubles = set()
        for family, kind in kinds.items():
            names = told_names(family, kind)
            if names & told:
                doubles.add(family)
            else:
                told |= names
        return frozenset(doubles)

    def families(self, taken: Iterable[str] = ()) -> list[Family]:
        """Return the metrics.

        Args:
            taken: names of families that are somebody else's.
        """
        found: dict[str, list[ValueKey]] = {}
        for key in (*self._counted, *self._gauges):
            found.setdefault(key.family, []).append(key)
        for name in self.doubles(taken):
            del found[name]
        return [self._family(name, keys) for name, keys in found.items()]

    def _family(self, name: str, keys: list[ValueKey]) -> Family:
        kind = keys[0].kind  # of two metrics of one name in two workers, the first is right
        keys = [key for key in keys if key.kind == kind]
        if kind == "histogram":
            samples = self._histogram(keys)
        elif kind == "gauge":
            mode = keys[-1].mode  # of a gauge whose mode a deploy has changed, the last one is right
            samples = [one for key in keys if key.mode == mode for one in _gauge_samples(key, self._gauges[key])]
        else:
            samples = [Sample(key.suffix, key.labels, self._counted[key], self._exemplars.get(key)) for key in keys]
        return Family(name, kind, self._abouts.get(name, ""), samples)

    def _histogram(self, keys: list[ValueKey]) -> list[Sample]:
        series: dict[Labels, list[tuple[float, ValueKey]]] = {}
        sums: dict[Labels, ValueKey] = {}
        for key in keys:
            labels = key.labels
            if labels[-1:] and labels[-1][0] == "le" and key.suffix == "_bucket":
                bound = _bound(labels[-1][1])
                if bound is not None:
                    series.setdefault(labels[:-1], []).append((bound, key))
            elif key.suffix == "_sum":
                sums[labels] = key
        samples: list[Sample] = []
        for labels, buckets in series.items():
            reached = 0.0
            for _, key in sorted(buckets, key=lambda one: one[0]):
                reached += self._counted[key]
                samples.append(Sample("_bucket", key.labels, reached, self._exemplars.get(key)))
            if max(bound for bound, _ in buckets) < math.inf:  # read while they were being made, or written over
                samples.append(Sample("_bucket", (*labels, ("le", "+Inf")), reached))
            samples.append(Sample("_count", labels, reached))
            if labels in sums:
                samples.append(Sample("_sum", labels, self._counted[sums[labels]]))
        return samples


def _mode(key: ValueKey) -> str:
    mode = key.mode.removeprefix("live")
    return mode if mode in _JOINED else "all"


def _gauge_samples(key: ValueKey, gauge: _Gauge) -> list[Sample]:
    if _mode(key) != "all":
        return [] if gauge.joined is None else [Sample("", key.labels, gauge.joined[0])]
    name = "slot"
    while name in key.label_names:
        name = f"worker_{name}"
    slots = sorted(gauge.by_slot.items())
    return [Sample("", (*key.labels, (name, str(slot))), value) for slot, (value, _) in slots]


def _bound(text: str) -> float | None:
    try:
        bound = float(text)
    except ValueError:
        return None
    return None if math.isnan(bound) else bound
