"""Read the values of the application's own metrics, and make one of those of all workers.

Counters, histograms and summaries are summed, and what a worker had counted when it ended stays in the sum.  A gauge
is made one by its mode, as ``prometheus_client`` documents it for several processes:

    sum, min, max, mostrecent     of all workers that ever were
    livesum, livemin, …           of those that live
    all, liveall                  one series for each slot, of the worker that has it or had it last

A worker may write anything: a key that makes no sense is not taken (``application_keys``), nor is a value that is no
number or beyond reason.  What it costs is bounded as well: of workers that have ended so much is kept, what the last
ones had; and of those that live so many series are told.

Where a counter goes back (``reset()``) what it had before is kept, so the sum does not.
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Callable, Iterable, Iterator
from struct import Struct as BinaryStruct
from typing import TYPE_CHECKING, Final, Protocol, TypeAlias

from .application_keys import Kind, ValueKey, exemplar_of, key_of, told_names
from .families import Exemplar, Family, Labels, Sample
from .layout import (
    EXEMPLAR_BYTES,
    EXEMPLARS,
    EXEMPLARS_AT,
    HEADER_NUMBERS,
    KEYS_AT,
    KEYS_BYTES,
    MOST_KEY_BYTES,
    VALUE_BYTES,
    VALUES,
    VALUES_AT,
    Header,
)
from .shared_values import EXEMPLAR, KEY_LENGTH

__all__ = ["ApplicationSum", "ApplicationValues"]

_HEADER: Final = BinaryStruct(f"={HEADER_NUMBERS}Q")
_MOST: Final = 1e18
_MOST_SERIES: Final = 64 * 1024  # of the workers that have ended, and as many more of those that live
_MOST_BYTES: Final = 16 * 1024 * 1024  # of the keys of workers that have ended


if TYPE_CHECKING:

    class _Memory(Protocol):
        def read(self, size: int, offset: int) -> bytes: ...


_COUNTED: Final = ("_bucket", "_count")


class ApplicationValues:
    """Reads the values of one process.

    Args:
        memory: the process's.

    Attributes:
        abouts: the help texts, by family.
        dropped: so many values are not here, as there is no room.
    """

    def __init__(self, memory: _Memory) -> None:
        self._memory = memory
        self._keys: list[ValueKey | None] = []
        self._read_bytes = 0
        self._last: list[float] = []
        self._before: dict[int, float] = {}  # of counters that have gone back, what they had
        self._exemplars = 0  # so many were there
        self._too_long = 0  # keys
        self.abouts: dict[str, str] = {}
        self.dropped = 0

    def read(self) -> Iterator[tuple[ValueKey, float, float]]:
        """Return each value that makes sense, with its key and when it was set."""
        header = _HEADER.unpack(self._memory.read(_HEADER.size, 0))
        used = min(header[Header.VALUES], VALUES)
        self._exemplars = min(header[Header.EXEMPLARS], EXEMPLARS) if used else 0
        if used:
            self._read_keys(min(header[Header.KEYS], KEYS_BYTES), used)
        self.dropped = min(header[Header.DROPPED], VALUES) + self._too_long
        if not used:
            return
        values = array("d", self._memory.read(used * VALUE_BYTES, VALUES_AT))
        for index, key in enumerate(self._keys[:used]):
            value, when = values[2 * index], values[2 * index + 1]
            if key is None or not -_MOST <= value <= _MOST:  # nor is NaN
                continue
            if key.kind != "gauge":
                if not _could_be(key, value):
                    continue
                value = self._never_back(index, value)
            yield key, value, when if math.isfinite(when) else 0.0

    def exemplars(self) -> Iterator[tuple[ValueKey, Exemplar]]:
        """Return the exemplars of the values that were read."""
        for number in range(self._exemplars):
            data = self._memory.read(EXEMPLAR_BYTES, EXEMPLARS_AT + number * EXEMPLAR_BYTES)
            index, last, told, first = EXEMPLAR.unpack(data)
            key = self._keys[index - 1] if 0 < index <= len(self._keys) and first == last else None
            if key is not None and key.kind in ("counter", "histogram"):
                with_exemplar = exemplar_of(told.rstrip(b"\0"))
                if with_exemplar is not None:
                    yield key, with_exemplar

    def _read_keys(self, size: int, used: int) -> None:
        """Read the keys that are new."""
        data = self._memory.read(max(size - self._read_bytes, 0), KEYS_AT + self._read_bytes)
        at = 0
        while at + KEY_LENGTH.size <= len(data) and len(self._keys) < used:
            end = at + KEY_LENGTH.size + KEY_LENGTH.unpack_from(data, at)[0]
            if end > len(data):
                return
            key = data[at + KEY_LENGTH.size : end]
            found = key_of(key)
            if found is not None:
                self.abouts[found[0].family] = found[1]
            self._keys.append(None if found is None else found[0])
            self._too_long += len(key) > MOST_KEY_BYTES
            self._last.append(0.0)
            self._read_bytes += end - at
            at = end

    def _never_back(self, index: int, value: float) -> float:
        last = self._last[index]
        if value < last:
            self._before[index] = self._before.get(index, 0.0) + last
        self._last[index] = value
        return value + self._before[index] if index in self._before else value


def _could_be(key: ValueKey, value: float) -> bool:
    """Whether a counter, or what is counted of a histogram or summary, can have this value."""
    is_counted = key.kind == "counter" or key.suffix in _COUNTED
    return not is_counted or (value >= 0 and (key.kind == "counter" or value.is_integer()))


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
    """What the values of several processes make together."""

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
