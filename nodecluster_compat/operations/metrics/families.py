"""Hold metrics as Prometheus has them: families of samples.  Pure records."""

from __future__ import annotations

import re
from collections.abc import Sequence
from typing import Final, Literal, TypeAlias

from msgspec import Struct

__all__ = ["Exemplar", "Family", "Kind", "Labels", "Sample", "plain_label", "plain_name"]

_NO_NAME: Final = re.compile(r"[^a-zA-Z0-9_:]")

Kind: TypeAlias = Literal["counter", "gauge", "histogram", "summary", "info"]
Labels: TypeAlias = tuple[tuple[str, str], ...]


class Exemplar(Struct, frozen=True, gc=False):
    """One of the events that a sample has counted.

    Attributes:
        labels: of the event, as its trace.
        value: of the event.
        timestamp: when it was, in seconds since 1970.
    """

    labels: Labels
    value: float
    timestamp: float


class Sample(Struct, frozen=True, gc=False):
    """One value.

    Attributes:
        suffix: what the sample's name has after the family's: ``_total``, ``_bucket``.
        labels: pairs of a name and a value.
        value: now.
        exemplar: one for this value, if there is one.
    """

    suffix: str
    labels: Labels
    value: float
    exemplar: Exemplar | None = None


class Family(Struct, frozen=True):
    """The samples of one metric.

    Attributes:
        name: without ``_total``.
        kind: its type.
        about: what it counts, for people.
        samples: at least one, or the family is not told.
        unit: that its name ends with, in OpenMetrics only; empty for none.
    """

    name: str
    kind: Kind
    about: str
    samples: Sequence[Sample]
    unit: str = ""


def plain_name(name: str) -> str:
    """Return a name as every reader of metrics takes it: what else is in it becomes an underscore."""
    name = _NO_NAME.sub("_", name)
    return f"_{name}" if name[:1].isdigit() else name


def plain_label(name: str) -> str:
    """Return the name of a label as every reader takes it, which has no colon."""
    return plain_name(name).replace(":", "_")
