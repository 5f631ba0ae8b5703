"""Keep the entries of ``cluster.store`` on this host, in the file of :mod:`~nodecluster_compat.sharing.lmdb_file`."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterator, Sequence
from typing import TYPE_CHECKING, Any, Final

from ..base.variables import STORE_BYTES
from ..errors import ArgumentError, ArgumentTypeError
from .entries import name_of
from .lmdb_file import DEFAULT_BYTES, LmdbFile
from .opening import Opening
from .sizes import asked_bytes
from .store_engine import Taken

if TYPE_CHECKING:
    from .lmdb_file import Writing
    from .store_engine import Change, Kept, Step

__all__ = ["LmdbEngine"]

_LEAST_BYTES: Final = 1024 * 1024
_SLICE: Final = 500  # entries that are deleted in a millisecond
_LARGE_BYTES: Final = 4096  # from here on reading a value costs more than a look at it before
_MOST_WHOLE: Final = 2**63


class LmdbEngine:
    """A :class:`~nodecluster_compat.sharing.store_engine.StoreEngine` of one host.

    Args:
        folder: returns where the state of this cluster is.
        give: told of each file, for whoever else has to use it.
    """

    def __init__(self, folder: Callable[[], str], give: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._give = give
        self._opened: LmdbFile | None = None
        self._opening = Opening()

    @property
    def file(self) -> LmdbFile:
        """The file behind it, as this process has opened it.

        Raises:
            StoreUnavailable, StoreCorrupt: it cannot be opened.
        """
        opened = self._opened
        return opened if opened is not None and opened.pid == os.getpid() else self._open()

    def _open(self) -> LmdbFile:
        with self._opening.alone():
            opened = self._opened
            if opened is None or opened.pid != os.getpid():
                self.leave()
                opened = LmdbFile(self._folder(), asked_bytes(STORE_BYTES, _LEAST_BYTES, DEFAULT_BYTES))
                for path in opened.paths:
                    self._give(path)
                self._opened = opened
            return opened

    def leave(self) -> None:
        """See :class:`StoreEngine`."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # --- reading -------------------------------------------------------------------------------

    def get(self, key: bytes) -> Kept | None:
        """See :class:`StoreEngine`."""
        entry = self.file.get(key)
        return None if entry is None else entry.value

    def at_hand(self, key: bytes) -> tuple[Kept | None] | None:
        """See :class:`StoreEngine`: what lies in memory is."""
        return (self.get(key),)

    def cache_locally(self, prefixes: Sequence[bytes]) -> None:
        """See :class:`StoreEngine`: it is in memory already."""

    def get_many(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """See :class:`StoreEngine`."""
        return [None if entry is None else entry.value for entry in self.file.get_many(keys)]

    def ttl(self, key: bytes) -> float | None:
        """See :class:`StoreEngine`."""
        entry = self.file.get(key)
        if entry is None:
            return 0.0
        return None if entry.end == 0.0 else max(0.0, entry.end - time.monotonic())

    def names(self, prefix: str) -> Iterator[str]:
        """See :class:`StoreEngine`."""
        return (name for name in map(name_of, self.file.keys_at(time.monotonic())) if name.startswith(prefix))

    def now(self) -> float:
        """See :class:`StoreEngine`: of the machine's monotonic clock."""
        return time.monotonic()

    def taken(self) -> Taken:
        """See :class:`StoreEngine`."""
        return Taken(*self.file.counts())

    # --- writing -------------------------------------------------------------------------------

    def put(self, key: bytes, value: Kept, ttl: float | None, nx: bool) -> bool:
        """See :class:`StoreEngine`."""

        def write(writing: Writing) -> bool:
            if nx and writing.get(key) is not None:
                return False
            writing.put(key, value, _end(writing, ttl))
            return True

        return self.file.write(write, key)

    def put_many(self, values: Sequence[tuple[bytes, Kept]], ttl: float | None) -> None:
        """See :class:`StoreEngine`."""

        def write(writing: Writing) -> None:
            for key, value in values:
                writing.put(key, value, _end(writing, ttl))

        self.file.write(write)

    def delete(self, keys: Sequence[bytes]) -> int:
        """See :class:`StoreEngine`."""

        def write(writing: Writing) -> int:
            count = 0
            for key in keys:
                count += writing.get(key) is not None
                writing.delete(key)
            return count

        return self.file.write(write)

    def add(self, key: bytes, amount: int, ttl: float | None) -> int:
        """See :class:`StoreEngine`."""

        def write(writing: Writing) -> int:
            entry = writing.get(key)
            if entry is None:
                total, end = amount, _end(writing, ttl)
            elif isinstance(entry.value, int):
                total, end = entry.value + amount, entry.end
            else:
                raise ArgumentTypeError(f"expected a whole number to be kept as {name_of(key)!r}, found something else")
            if not -_MOST_WHOLE <= total < _MOST_WHOLE:
                raise ArgumentError(f"expected {name_of(key)!r} to stay within 64 bits, got {total}")
            writing.put(key, total, end)
            return total

        return self.file.write(write, key)

    def change(self, key: bytes, step: Step, ttl: float | None, keep_ttl: bool) -> Any:  # noqa: ANN401 - the step's
        """See :class:`StoreEngine`; what leaves a large value as it is holds up no writer."""
        looked = self._look(key, step)
        if looked is not None:
            return looked.result

        def write(writing: Writing) -> Any:  # noqa: ANN401 - the step's
            entry = writing.get(key)
            change = step(None if entry is None else entry.value)
            if change.value is not None:
                end = entry.end if keep_ttl and entry is not None else _end(writing, ttl)
                writing.put(key, change.value, end)
            return change.result

        return self.file.write(write, key)

    def _look(self, key: bytes, step: Step) -> Change | None:
        kept = self.get(key)
        if not isinstance(kept, bytes) or len(kept) < _LARGE_BYTES:
            return None
        change = step(kept)
        return change if change.value is None else None

    def expire(self, key: bytes, ttl: float | None) -> bool:
        """See :class:`StoreEngine`."""

        def write(writing: Writing) -> bool:
            entry = writing.get(key)
            if entry is not None:
                writing.put(key, entry.value, _end(writing, ttl))
            return entry is not None

        return self.file.write(write, key)

    def delete_prefix(self, prefix: str) -> int:
        """See :class:`StoreEngine`: in steps of a millisecond, for no other process writes during one.

        Rejected: one step for all.  With 100 000 entries nobody could write for 150 ms, and a file that is nearly full
        has no room for it.
        """
        keys = [key for key in self.file.keys_at() if name_of(key).startswith(prefix)]
        return sum(self.delete(keys[at : at + _SLICE]) for at in range(0, len(keys), _SLICE))

    def clear(self) -> None:
        """See :class:`StoreEngine`."""
        self.file.clear()


def _end(writing: Writing, seconds: float | None) -> float:
    return 0.0 if seconds is None else writing.now + seconds
