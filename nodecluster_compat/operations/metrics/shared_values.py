"""Keep the values of an application's own metrics in the memory that a worker shares with its primary.

A value is two floats, what it is and when it was set, at an index.  Its *key* says whose value it is, and is appended
to the keys when the value is made; keys and indexes are in the same order.  Values that are made before the fork
(``preload_app``) have their index in every worker, and begin at zero there, as their primary keeps its own.

A process that is no worker keeps its values for itself.

An exemplar is written between two numbers, the later one first.  Who reads from the beginning to the end, and finds
them equal, has read one exemplar and no mixture of two.
"""

from __future__ import annotations

from _thread import RLock
from struct import Struct
from typing import Any, Final

from .layout import (
    EXEMPLAR_BYTES,
    EXEMPLARS,
    EXEMPLARS_AT,
    KEYS_AT,
    KEYS_BYTES,
    MOST_KEY_BYTES,
    VALUE_BYTES,
    VALUES,
    VALUES_AT,
    WHOLE_BYTES,
    Header,
)

__all__ = [
    "EXEMPLAR",
    "KEY_LENGTH",
    "UNSHARED",
    "SharedValues",
    "abandon_values",
    "make_values",
    "values_here",
    "worker_begins",
]

KEY_LENGTH: Final = Struct("=I")
EXEMPLAR: Final = Struct(f"=QQ{EXEMPLAR_BYTES - 24}sQ")
"""The value's index and 1, the second number, the text, the first number."""

UNSHARED: Final = -1
"""The index of a value for which there is no room."""

_VALUES_END: Final = VALUES_AT + VALUES * VALUE_BYTES
_MOST_TEXT: Final = EXEMPLAR_BYTES - 24


class SharedValues:
    """The values of one process."""

    def __init__(self) -> None:
        self._indexes: dict[bytes, int] = {}
        self._exemplars: dict[int, int] = {}
        self._keys = bytearray()
        self._dropped = 0
        self._use(memoryview(bytearray(WHOLE_BYTES)))  # pages that nobody writes to take no memory

    def _use(self, view: memoryview) -> None:
        self._view = view
        self._numbers = view.cast("Q")
        self.cells: Any = view[VALUES_AT:_VALUES_END].cast("d")
        """The value and the time of each index, one after another."""
        self.lock: Any = RLock()
        """Held for a change; a signal handler may change a value, too."""

    # --- the process ---------------------------------------------------------------------------

    def share(self, view: memoryview) -> None:
        """In a worker that was just forked: values begin at zero, and are read by the primary."""
        self._use(view)
        self._exemplars = {}
        self._write(KEYS_AT, bytes(self._keys))
        self._tell()

    def abandon(self) -> None:
        """In a process that the worker forked: values are its own from now on."""
        former = self.cells.tobytes()
        self._use(memoryview(bytearray(WHOLE_BYTES)))
        self._write(VALUES_AT, former)

    def read(self, size: int, offset: int) -> bytes:
        """Return a part of this process's memory, as a primary reads it of a worker's."""
        return self._view[offset : offset + size].tobytes()

    def _write(self, at: int, data: bytes) -> None:
        self._view[at : at + len(data)] = data

    def _tell(self) -> None:
        """Say how much there is, behind what is said to be there."""
        self._numbers[Header.KEYS] = len(self._keys)
        self._numbers[Header.VALUES] = len(self._indexes)
        self._numbers[Header.DROPPED] = self._dropped

    # --- values --------------------------------------------------------------------------------

    def index_of(self, key: bytes) -> int:
        """Return the index of a value, and make it if there is none; :data:`UNSHARED` if there is no room."""
        with self.lock:
            index = self._indexes.get(key)
            return self._add(key) if index is None else index

    def _add(self, key: bytes) -> int:
        record = KEY_LENGTH.pack(len(key)) + key
        is_full = len(self._indexes) >= VALUES or len(self._keys) + len(record) > KEYS_BYTES
        if is_full or len(key) > MOST_KEY_BYTES:
            self._dropped += 1
            self._tell()
            return UNSHARED
        self._write(KEYS_AT + len(self._keys), record)
        self._keys += record
        index = self._indexes[key] = len(self._indexes)
        self._tell()
        return index

    def set_exemplar(self, index: int, text: bytes) -> None:
        """Keep an exemplar of a value; the last ones of :data:`EXEMPLARS` values are kept."""
        if len(text) > _MOST_TEXT:
            return
        with self.lock:
            number = self._exemplars.setdefault(index, len(self._exemplars) % EXEMPLARS)
            at, numbers = EXEMPLARS_AT + number * EXEMPLAR_BYTES, self._numbers
            last = (at + EXEMPLAR_BYTES) // 8 - 1
            turn = numbers[last] + 1
            numbers[last] = turn
            self._write(at + 16, text.ljust(_MOST_TEXT, b"\0"))
            numbers[at // 8] = index + 1
            numbers[at // 8 + 1] = turn
            numbers[Header.EXEMPLARS] = min(len(self._exemplars), EXEMPLARS)


class _ThisProcess:
    values: SharedValues | None = None
    view: memoryview | None = None  # of a worker


def values_here() -> SharedValues | None:
    """Return the values of this process; ``None`` if it shares none."""
    return _ThisProcess.values


def make_values() -> SharedValues:
    """Return the values of this process, which shares them from now on."""
    if _ThisProcess.values is None:
        _ThisProcess.values = SharedValues()
        if _ThisProcess.view is not None:
            _ThisProcess.values.share(_ThisProcess.view)
    return _ThisProcess.values


def worker_begins(view: memoryview) -> None:
    """In a worker that was just forked: its values are in ``view``, also those that it makes later."""
    _ThisProcess.view = view
    if _ThisProcess.values is not None:
        _ThisProcess.values.share(view)


def abandon_values() -> None:
    """In a process that the worker forked: its values are its own."""
    _ThisProcess.view = None
    if _ThisProcess.values is not None:
        _ThisProcess.values.abandon()
