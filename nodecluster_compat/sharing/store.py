"""Keep state that all processes of a cluster share: ``cluster.store``, with the verbs of Redis."""

from __future__ import annotations

import os
import time
from collections.abc import Callable, Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from ..errors import ArgumentError, ArgumentTypeError, SettingsError
from .entries import checked_ttl, decode_value, encode_value, key_of, name_of
from .lmdb_file import DEFAULT_BYTES, LmdbFile

if TYPE_CHECKING:
    from .lmdb_file import Writing

__all__ = ["BYTES_VARIABLE", "Store"]

BYTES_VARIABLE: Final = "NODECLUSTER_STORE_BYTES"

_LEAST_BYTES: Final = 1024 * 1024
_SLICE: Final = 500
_MISSING: Final = object()


def _asked_bytes() -> int:
    text = os.environ.get(BYTES_VARIABLE, "")
    if not text:
        return DEFAULT_BYTES
    if not text.isdigit() or int(text) < _LEAST_BYTES:
        raise SettingsError(f"expected a whole number from {_LEAST_BYTES} on as {BYTES_VARIABLE}, got {text!r}")
    return int(text)


class Store:
    """State of the whole cluster: it outlives workers, reloads and upgrades, and ends with the cluster.

    A key is text of 1 to 500 bytes; a value anything that MessagePack carries, 1 MiB at most.  What does not fit into
    the whole (64 MiB, or ``NODECLUSTER_STORE_BYTES``) evicts what is over, then what was written first, about.

    Every verb is one step: no other process sees a part of it, and one that is killed amid it has done all or nothing.
    None waits for the primary, or an event loop; each takes microseconds, so it may be called anywhere, also in tasks.

    Args:
        folder: returns where the state of this cluster is.
        give: told of each file, for whoever else has to use it.
    """

    def __init__(self, folder: Callable[[], str], give: Callable[[str], None] = lambda _: None) -> None:
        self._folder = folder
        self._give = give
        self._opened: LmdbFile | None = None

    @property
    def file(self) -> LmdbFile:
        """The file behind it, as this process has opened it.

        Raises:
            StoreUnavailable, StoreCorrupt: it cannot be opened.
        """
        opened = self._opened
        if opened is None or opened.pid != os.getpid():
            self.leave()
            opened = self._opened = LmdbFile(self._folder(), _asked_bytes())
            for path in opened.paths:
                self._give(path)
        return opened

    def leave(self) -> None:
        """Let go of what this process has opened, or the one that forked it."""
        opened, self._opened = self._opened, None
        if opened is not None:
            opened.close()

    # --- values --------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever was put there
        """Return a value, or ``default``.

        Raises:
            KeyTooLong, ArgumentError: it is no key.
            StoreUnavailable: lmdb is not installed, or there is no place for the store.
            StoreCorrupt: what lies there was not put there by this package.
        """
        entry = self.file.get(key_of(key))
        return default if entry is None else decode_value(entry.value)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that have one, as they are at one moment."""
        names = list(keys)
        entries = self.file.get_many([key_of(name) for name in names])
        return {
            name: decode_value(entry.value) for name, entry in zip(names, entries, strict=True) if entry is not None
        }

    def set(self, key: str, value: Any, *, ttl: float | None = None, nx: bool = False) -> bool:  # noqa: ANN401
        """Keep a value.

        Args:
            key: under which.
            value: what MessagePack can carry.
            ttl: for so many seconds, above 0; ``None``: until it is evicted.
            nx: only if there is none.

        Returns:
            Whether it was set.

        Raises:
            StoreFull: there is no room for it, whatever is evicted.
            MessageNotSerializable, MessageTooLarge: it cannot be kept.
            ArgumentError, StoreUnavailable, StoreCorrupt: as :meth:`get`.
        """
        name, kept, seconds = key_of(key), encode_value(value), checked_ttl(ttl)

        def step(writing: Writing) -> bool:
            if nx and writing.get(name) is not None:
                return False
            writing.put(name, kept, _end(writing, seconds))
            return True

        return self.file.write(step, name)

    def set_many(self, values: Mapping[str, Any], *, ttl: float | None = None) -> None:
        """Keep several values, all in one step; otherwise as :meth:`set`."""
        kept = [(key_of(key), encode_value(value)) for key, value in values.items()]
        seconds = checked_ttl(ttl)

        def step(writing: Writing) -> None:
            for name, value in kept:
                writing.put(name, value, _end(writing, seconds))

        self.file.write(step)

    def delete(self, *keys: str) -> int:
        """Keep these no longer; return how many there were."""
        names = [key_of(key) for key in keys]

        def step(writing: Writing) -> int:
            count = 0
            for name in names:
                count += writing.get(name) is not None
                writing.delete(name)
            return count

        return self.file.write(step)

    def incr(self, key: str, amount: int = 1, *, ttl: float | None = None) -> int:
        """Add to a whole number, which is 0 if there is none, and return it.

        Args:
            key: of the number.
            amount: to add; may be negative.
            ttl: for how many seconds a number that is new is kept; one that is there keeps its time.

        Raises:
            ArgumentTypeError: what is kept, or ``amount``, is no whole number.
            ArgumentError: the sum would need more than 64 bits.
            StoreFull, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """
        if isinstance(amount, bool) or not isinstance(amount, int):
            raise ArgumentTypeError(f"expected a whole number to add, got {amount!r}")
        name, seconds = key_of(key), checked_ttl(ttl)

        def step(writing: Writing) -> int:
            entry = writing.get(name)
            if entry is None:
                total, end = amount, _end(writing, seconds)
            elif isinstance(entry.value, int):
                total, end = entry.value + amount, entry.end
            else:
                raise ArgumentTypeError(f"expected a whole number to be kept as {key!r}, found something else")
            if not -(2**63) <= total < 2**63:
                raise ArgumentError(f"expected {key!r} to stay within 64 bits, got {total}")
            writing.put(name, total, end)
            return total

        return self.file.write(step, name)

    def compare_and_set(self, key: str, expected: Any, value: Any, *, ttl: float | None = None) -> bool:  # noqa: ANN401
        """Keep ``value`` if ``expected`` is what is kept now (``None``: nothing is); return whether it was.

        Raises:
            StoreFull, MessageNotSerializable, ArgumentError, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """
        name, kept, seconds = key_of(key), encode_value(value), checked_ttl(ttl)

        def step(writing: Writing) -> bool:
            entry = writing.get(name)
            if (None if entry is None else decode_value(entry.value)) != expected:
                return False
            writing.put(name, kept, _end(writing, seconds))
            return True

        return self.file.write(step, name)

    def expire(self, key: str, ttl: float | None) -> bool:
        """Keep what there is for ``ttl`` seconds from now, or for ever; return whether there is something."""
        name, seconds = key_of(key), checked_ttl(ttl)

        def step(writing: Writing) -> bool:
            entry = writing.get(name)
            if entry is not None:
                writing.put(name, entry.value, _end(writing, seconds))
            return entry is not None

        return self.file.write(step, name)

    def ttl(self, key: str) -> float | None:
        """Return for how many seconds it is kept still: ``None`` for ever, 0 if there is none."""
        entry = self.file.get(key_of(key))
        if entry is None:
            return 0.0
        return None if entry.end == 0.0 else max(0.0, entry.end - time.monotonic())

    def clear(self) -> None:
        """Keep nothing."""
        self.file.clear()

    def keys(self, prefix: str = "") -> list[str]:
        """Return every key that begins with ``prefix``, in no order; it looks at all keys."""
        names = (name_of(key) for key in self.file.names())
        return [name for name in names if name.startswith(prefix)]

    def delete_prefix(self, prefix: str) -> int:
        """Keep nothing any more whose key begins with ``prefix``; return how much there was.  It looks at all keys."""
        names = self.keys(prefix)
        return sum(self.delete(*names[at : at + _SLICE]) for at in range(0, len(names), _SLICE))

    def update(
        self, key: str, step: Callable[[Any], tuple[Any, Any]], *, ttl: float | None = None, keep_ttl: bool = False
    ) -> Any:  # noqa: ANN401 - the function's
        """Replace a value by what a function makes of it, in one step.

        Args:
            key: of the value.
            step: given the value, or ``None``, returns the new one and a result; every other writer of the cluster
                waits for it, so it must compute and nothing else.  It may be called again.
            ttl: for how many seconds the new value is kept.
            keep_ttl: a value that is there keeps its time.

        Returns:
            The result.

        Raises:
            StoreFull, MessageNotSerializable, ArgumentError, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """
        name, seconds = key_of(key), checked_ttl(ttl)

        def change(writing: Writing) -> Any:  # noqa: ANN401 - the function's
            entry = writing.get(name)
            value, result = step(None if entry is None else decode_value(entry.value))
            end = entry.end if keep_ttl and entry is not None else _end(writing, seconds)
            writing.put(name, encode_value(value), end)
            return result

        return self.file.write(change, name)

    # --- as a dict -----------------------------------------------------------------------------

    def __getitem__(self, key: str) -> Any:  # noqa: ANN401 - whatever was put there
        value = self.get(key, _MISSING)
        if value is _MISSING:
            raise KeyError(key)
        return value

    def __setitem__(self, key: str, value: Any) -> None:  # noqa: ANN401 - anything
        self.set(key, value)

    def __delitem__(self, key: str) -> None:
        if not self.delete(key):
            raise KeyError(key)

    def __contains__(self, key: str) -> bool:
        return self.file.get(key_of(key)) is not None

    def __len__(self) -> int:
        return self.file.counts()[1]

    # --- how it is -----------------------------------------------------------------------------

    @property
    def bytes(self) -> int:
        """How many bytes are taken, about."""
        return self.file.counts()[0]

    @property
    def evicted(self) -> int:
        """How many entries were evicted for others, since the cluster began."""
        return self.file.counts()[2]


def _end(writing: Writing, seconds: float | None) -> float:
    return 0.0 if seconds is None else writing.now + seconds
