"""Read the keys and exemplars of the application's values.  Pure.

A worker may write anything.  What would be a line of another metric, or one that no scraper can read, is not taken: one
such line is enough for a scraper to take nothing of the whole page.
"""

from __future__ import annotations

import math
from functools import lru_cache
from typing import Final, Literal, TypeAlias

import msgspec
from msgspec import Struct

from .families import Exemplar, Labels, plain_label, plain_name
from .layout import MOST_KEY_BYTES

__all__ = ["Kind", "ValueKey", "exemplar_of", "key_of", "told_names"]

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary"]

_SUFFIXES: Final[dict[Kind, frozenset[str]]] = {
    "counter": frozenset({"_total"}),
    "gauge": frozenset({""}),
    "histogram": frozenset({"_bucket", "_count", "_sum"}),
    "summary": frozenset({"_count", "_sum"}),
}
_OF_ANY_KIND: Final = frozenset({"_created", "_info"}).union(*_SUFFIXES.values())
_KEY_BYTES: Final = 200
_MOST_REMEMBERED: Final = 1024  # names, which many values share
_OURS: Final = "__"  # what a label's name begins with whose meaning is the scraper's


class ValueKey(Struct, frozen=True, array_like=True):
    """Whose value it is, as ``prometheus_client`` tells it.

    Attributes:
        about: the help text, which tells no two values apart: a deploy may change it; empty once it was read.
        mode: of a gauge.
    """

    kind: Kind
    family: str
    name: str
    label_names: tuple[str, ...]
    label_values: tuple[str, ...]
    about: str
    mode: str

    @property
    def labels(self) -> Labels:
        """Pairs of a name and a value."""
        return tuple(zip(self.label_names, self.label_values, strict=False))

    @property
    def suffix(self) -> str:
        """What the sample's name has after the family's."""
        return self.name.removeprefix(self.family)

    @property
    def is_live(self) -> bool:
        """Whether the values of workers that have ended count for nothing."""
        return self.mode.startswith("live")

    @property
    def size(self) -> int:
        """What it takes of the memory, about."""
        names = len(self.family) + len(self.name) + sum(map(len, self.label_names))
        return _KEY_BYTES + names + sum(map(len, self.label_values))


class _Told(Struct, frozen=True, array_like=True):
    labels: dict[str, str]
    value: float
    timestamp: float


_decode_key = msgspec.json.Decoder(ValueKey).decode
_decode_exemplar = msgspec.json.Decoder(_Told).decode


def key_of(data: bytes) -> tuple[ValueKey, str] | None:
    """Return the key that was written, with names as scrapers take them, and its help text; ``None`` for nonsense."""
    if len(data) > MOST_KEY_BYTES:
        return None
    try:
        key = _decode_key(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    names, labels = _plain_names(key.kind, key.family, key.name), _plain_labels(key.label_names)
    if names is None or labels is None or len(labels) != len(key.label_values):
        return None
    return ValueKey(key.kind, *names, labels, key.label_values, "", key.mode), key.about


@lru_cache(_MOST_REMEMBERED)
def _plain_names(kind: Kind, family: str, name: str) -> tuple[str, str] | None:
    """Return the names of a family and of its sample as scrapers take them; ``None`` for those of no such kind."""
    suffix = name.removeprefix(family)
    if not family or not name.startswith(family) or suffix not in _SUFFIXES[kind]:
        return None
    return plain_name(family), plain_name(family) + suffix


def exemplar_of(data: bytes) -> Exemplar | None:
    """Return the exemplar that was written; ``None`` for one that makes no sense."""
    try:
        told = _decode_exemplar(data)
    except (msgspec.MsgspecError, UnicodeDecodeError, RecursionError):
        return None
    names = _plain_labels(tuple(told.labels))
    if names is None or not (math.isfinite(told.value) and math.isfinite(told.timestamp)):
        return None
    return Exemplar(tuple(sorted(zip(names, told.labels.values(), strict=True))), told.value, told.timestamp)


@lru_cache(_MOST_REMEMBERED)
def _plain_labels(names: tuple[str, ...]) -> tuple[str, ...] | None:
    """Return the names of labels as scrapers take them; ``None`` where they would not."""
    plain = tuple(map(plain_label, names))
    are_labels = all(name and not name.startswith(_OURS) for name in plain) and len(set(plain)) == len(plain)
    return plain if are_labels else None


def told_names(family: str, kind: Kind | None = None) -> frozenset[str]:
    """Return the names that lines of a family may have; of any kind, unless that is given."""
    return frozenset({family, *(family + suffix for suffix in (_SUFFIXES[kind] if kind else _OF_ANY_KIND))})
