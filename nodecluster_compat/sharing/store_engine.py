"""Say what keeps the entries of ``cluster.store``: one protocol, an engine of this host or a server of several.

Keys are those of :func:`~nodecluster_compat.sharing.entries.key_of`, values are encoded already.  A verb is one step.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from typing import Any, Protocol, TypeAlias

from msgspec import Struct

__all__ = ["Change", "Kept", "Step", "StoreEngine", "Taken"]

Kept: TypeAlias = int | bytes
"""A value as it is kept: a whole number, or MessagePack."""


class Change(Struct, frozen=True):
    """The change that a step makes to an entry.

    Attributes:
        value: what is kept from now on; ``None`` leaves what there is.
        result: what the caller gets for the step.
    """

    value: Kept | None
    result: Any


Step: TypeAlias = Callable[[Kept | None], Change]
"""Given what is kept, or ``None``, says what is to be; it may be called again."""


class Taken(Struct, frozen=True):
    """How much there is: bytes and entries, about, and how many entries were evicted."""

    bytes: int
    entries: int
    evicted: int


class StoreEngine(Protocol):
    """Keeps entries.

    Every method may raise ``StoreUnavailable``; those that write, ``StoreFull``; those that read, ``StoreCorrupt``.
    """

    def get(self, key: bytes) -> Kept | None:
        """Return what is kept."""

    def at_hand(self, key: bytes) -> tuple[Kept | None] | None:
        """Return what is kept, in a tuple, if that is known here at once; ``None`` where it has to be waited for."""

    def cache_locally(self, prefixes: Sequence[bytes]) -> None:
        """Keep in this process what is read of keys that begin with one of these, where reading them is slow."""

    def get_many(self, keys: Sequence[bytes]) -> list[Kept | None]:
        """Return what is kept under each key, as it is at one moment."""

    def put(self, key: bytes, value: Kept, ttl: float | None, nx: bool) -> bool:
        """Keep a value for so many seconds, or for ever; with ``nx`` only if there is none.  Return whether it is."""

    def put_many(self, values: Sequence[tuple[bytes, Kept]], ttl: float | None) -> None:
        """Keep several."""

    def delete(self, keys: Sequence[bytes]) -> int:
        """Keep these no longer; return how many there were."""

    def add(self, key: bytes, amount: int, ttl: float | None) -> int:
        """Add to a whole number, which is 0 and kept for ``ttl`` if there is none; return the sum.

        Raises:
            ArgumentTypeError: no whole number is kept.
            ArgumentError: the sum would need more than 64 bits.
        """

    def change(self, key: bytes, step: Step, ttl: float | None, keep_ttl: bool) -> Any:  # noqa: ANN401 - the step's
        """Replace a value by what a step makes of it; with ``keep_ttl`` one that is there keeps its time."""

    def expire(self, key: bytes, ttl: float | None) -> bool:
        """Keep what there is for so many seconds from now, or for ever; return whether there is something."""

    def ttl(self, key: bytes) -> float | None:
        """Return for how many seconds it is kept still: ``None`` for ever, 0 if there is none."""

    def delete_prefix(self, prefix: str) -> int:
        """Delete every key whose text begins so and that is there all the while, in several steps; return how many."""

    def clear(self) -> None:
        """Keep nothing."""

    def names(self, prefix: str) -> Iterable[str]:
        """Return the text of every key that begins with ``prefix``."""

    def taken(self) -> Taken:
        """Return how much there is."""

    def now(self) -> float:
        """Return seconds, the same for all who share these entries, whatever their clocks say."""

    def leave(self) -> None:
        """Let go of what this process has opened, or the one that forked it."""
