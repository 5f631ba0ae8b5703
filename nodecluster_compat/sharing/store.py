"""Keep state that all processes of a cluster share: ``cluster.store``, with the verbs of Redis."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from .apart import apart, waiting_in_loop
from .entries import checked_ttl, checked_whole, decode_value, encode_value, key_of
from .opening import Opening
from .store_engine import Change

if TYPE_CHECKING:
    from .apart import Waiting
    from .store_engine import Kept, StoreEngine

__all__ = ["UNCHANGED", "Store"]

UNCHANGED: Final = object()
"""What a step of :meth:`Store.update` returns in place of a value to leave what is kept, and for how long."""

_MISSING: Final = object()


class Store:
    """State of the whole cluster: it outlives workers, reloads and upgrades.

    A key is text of 1 to 500 bytes; a value anything that MessagePack carries, 1 MiB at most.

    It lives on this host, and ends with the cluster; or on a server, with ``NODECLUSTER_BUS``, which all hosts of the
    cluster share.  On this host it evicts what does not fit (64 MiB, or ``NODECLUSTER_STORE_BYTES``): what is over,
    then what was written first, about; a server does as it is told.

    Every verb but ``keys``, ``delete_prefix`` and ``clear`` is one step: no other process sees a part of it, and one
    that is killed meanwhile has done all or nothing.
    On this host each takes microseconds and waits for nobody.  With a server each waits for its answer, as long as it
    can be reached for: 1.5 seconds at most.

    Args:
        engine: what keeps the entries.
        waiting: returns how a task waits in this process.
    """

    def __init__(
        self, engine: Callable[[], StoreEngine], waiting: Callable[[], Waiting] = lambda: waiting_in_loop
    ) -> None:
        self._make = engine
        self._waiting = waiting
        self._engine: StoreEngine | None = None
        self._opening = Opening()
        self._near: dict[bytes, None] = {}

    @property
    def engine(self) -> StoreEngine:
        """What keeps the entries.

        Raises:
            StoreUnavailable, SettingsError: there is none.
        """
        return self._engine or self._opened()

    def _opened(self) -> StoreEngine:
        with self._opening.alone():
            engine = self._engine
            if engine is None:
                engine = self._make()
                engine.cache_locally(tuple(self._near))
                self._engine = engine
            return engine

    def leave(self) -> None:
        """Let go of what this process has opened, or the one that forked it."""
        engine, self._engine = self._engine, None
        if engine is not None:
            engine.leave()

    def cache_locally(self, *prefixes: str) -> None:
        """Keep in this process what :meth:`get` reads of keys that begin with one of these: for keys that are hot.

        On one host nothing changes, since reading asks nobody there.  With ``NODECLUSTER_BUS`` a key that was read is
        read from memory until the server says that somebody has changed it, so what is read may be as old as that
        word needs, a round trip; up to two seconds where the server, or the network, stands still.  What this process
        writes it reads at once.  All other verbs ask the server.  It costs one connection for each process, and a few
        bytes for each change of such a key.

        Args:
            prefixes: of keys, each of 1 to 500 bytes.

        Raises:
            KeyTooLong, ArgumentError: it can begin no key.
        """
        self._near.update(dict.fromkeys(key_of(prefix) for prefix in prefixes))
        if self._engine is not None:
            self._engine.cache_locally(tuple(self._near))

    async def apart(self, verb: Callable[..., Any], *args: Any, **named: Any) -> Any:  # noqa: ANN401 - the verb's
        """Await a function that uses this store, and may wait; it runs on another thread.

        Raises:
            WouldBlock: there is no event loop.
            Exception: what the function raises.
        """
        return await apart(self._waiting(), partial(verb, *args, **named))

    # --- values --------------------------------------------------------------------------------

    def get(self, key: str, default: Any = None) -> Any:  # noqa: ANN401 - whatever was put there
        """Return a value, or ``default``.

        Raises:
            KeyTooLong, ArgumentError: it is no key.
            StoreUnavailable: what keeps it is not installed, has no place, or cannot be reached.
            StoreCorrupt: what lies there was not put there by this package.
        """
        kept = self.engine.get(key_of(key))
        return default if kept is None else decode_value(kept)

    def get_many(self, keys: Iterable[str]) -> dict[str, Any]:
        """Return the values of those keys that have one, as they are at one moment."""
        names = list(keys)
        found = self.engine.get_many([key_of(name) for name in names])
        return {name: decode_value(kept) for name, kept in zip(names, found, strict=True) if kept is not None}

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
        return self.engine.put(key_of(key), encode_value(value), checked_ttl(ttl), nx)

    def set_many(self, values: Mapping[str, Any], *, ttl: float | None = None) -> None:
        """Keep several values, all in one step; otherwise as :meth:`set`."""
        kept = [(key_of(key), encode_value(value)) for key, value in values.items()]
        self.engine.put_many(kept, checked_ttl(ttl))

    def delete(self, *keys: str) -> int:
        """Keep these no longer; return how many there were."""
        return self.engine.delete([key_of(key) for key in keys])

    def incr(self, key: str, amount: int = 1, *, ttl: float | None = None) -> int:
        """Add to a whole number, which is 0 if there is none, and return it.

        Args:
            key: of the number.
            amount: to add; may be negative.
            ttl: for how many seconds a number that is new is kept; one that is there keeps its time.

        Raises:
            ArgumentTypeError: what is kept, or ``amount``, is no whole number.
            ArgumentError: the sum, or ``amount``, needs more than 64 bits.
            StoreFull, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """
        return self.engine.add(key_of(key), checked_whole(amount), checked_ttl(ttl))

    def compare_and_set(self, key: str, expected: Any, value: Any, *, ttl: float | None = None) -> bool:  # noqa: ANN401
        """Keep ``value`` if ``expected`` is what is kept now (``None``: nothing is); return whether it was.

        What is compared is what is kept: ``True`` and ``1.0`` are not ``1``; a tuple is the list that it becomes.

        Raises:
            StoreFull, MessageNotSerializable, ArgumentError, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """
        wanted, known = encode_value(value), None if expected is None else encode_value(expected)

        def step(kept: Kept | None) -> Change:
            is_expected = kept == known
            return Change(wanted if is_expected else None, is_expected)

        is_set: bool = self.engine.change(key_of(key), step, checked_ttl(ttl), False)
        return is_set

    def expire(self, key: str, ttl: float | None) -> bool:
        """Keep what there is for ``ttl`` seconds from now, or for ever; return whether there is something."""
        return self.engine.expire(key_of(key), checked_ttl(ttl))

    def ttl(self, key: str) -> float | None:
        """Return for how many seconds it is kept still: ``None`` for ever, 0 if there is none."""
        return self.engine.ttl(key_of(key))

    def clear(self) -> None:
        """Keep nothing."""
        self.engine.clear()

    def keys(self, prefix: str = "") -> list[str]:
        """Return every key that begins with ``prefix``, in no order; it looks at all keys."""
        return list(self.engine.names(prefix))

    def delete_prefix(self, prefix: str) -> int:
        """Keep nothing any more whose key begins with ``prefix``; return how much there was.

        It looks at all keys, and deletes 500 at a time, so that others write meanwhile.  Whatever is there when it
        begins is not when it returns, unless somebody has set it anew; what others set meanwhile may stay, or not.
        """
        return self.engine.delete_prefix(prefix)

    def update(
        self, key: str, step: Callable[[Any], tuple[Any, Any]], *, ttl: float | None = None, keep_ttl: bool = False
    ) -> Any:  # noqa: ANN401 - the function's
        """Replace a value by what a function makes of it, in one step.

        Args:
            key: of the value.
            step: given the value, or ``None``, returns the new one, or :data:`UNCHANGED`, and a result; every other
                writer of this host's store waits for it, so it must compute and nothing else.  It may be called again.
            ttl: for how many seconds the new value is kept.
            keep_ttl: a value that is there keeps its time.

        Returns:
            The result.

        Raises:
            StoreFull, MessageNotSerializable, ArgumentError, StoreUnavailable, StoreCorrupt: as :meth:`set`.
        """

        def change(kept: Kept | None) -> Change:
            value, result = step(None if kept is None else decode_value(kept))
            return Change(None if value is UNCHANGED else encode_value(value), result)

        return self.engine.change(key_of(key), change, checked_ttl(ttl), keep_ttl)

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
        return self.engine.get(key_of(key)) is not None

    def __len__(self) -> int:
        return sum(1 for _ in self.engine.names(""))

    def now(self) -> float:
        """Return seconds, the same for all who share it: with a server of its clock, which is asked now and then.

        Raises:
            StoreUnavailable, WouldBlock: it has to be asked, and cannot be.
        """
        return self.engine.now()

    # --- how it is -----------------------------------------------------------------------------

    @property
    def bytes(self) -> int:
        """How many bytes are taken, about."""
        return self.engine.taken().bytes

    @property
    def evicted(self) -> int:
        """How many entries were evicted for others, since the cluster began, or the server."""
        return self.engine.taken().evicted
