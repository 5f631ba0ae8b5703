"""Read the values of the application's own metrics as one process has them.

A worker may write anything: a key that makes no sense is not taken (``application_keys``), nor is a value that is no
number or beyond reason.

Where a counter goes back (``reset()``) what it had before is kept, so the sum does not (``application_sum``).
"""

from __future__ import annotations

import math
from array import array
from collections.abc import Iterator
from struct import Struct as BinaryStruct
from typing import TYPE_CHECKING, Final, Protocol

from .application_keys import ValueKey, exemplar_of, key_of
from .families import Exemplar
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

__all__ = ["ApplicationValues"]

_HEADER: Final = BinaryStruct(f"={HEADER_NUMBERS}Q")
_MOST: Final = 1e18


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
