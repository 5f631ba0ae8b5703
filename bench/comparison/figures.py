"""What is measured: lines of figures, one for each side and round, and the ratios between them.  Pure.

A figure is that of one start of a server: the median of the rounds that it had.  Two figures are only compared when
they were measured in the same minutes, so a ratio has as many pairs as there are figures.  It is the median of the
pairs' ratios; their extremes say how far to trust it.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

OURS, STOCK, NODE20, NODE24, GRANIAN, FLOOR = "ours", "stock", "node20", "node24", "granian", "floor"
GTHREAD, SYNC, UWSGI = "gthread", "sync", "uwsgi"
ONE_QUEUE = "one-queue"
SIDES = (OURS, STOCK, GTHREAD, SYNC, NODE20, NODE24, GRANIAN, UWSGI)
NODES = {NODE20: "20", NODE24: "24"}


@dataclass(frozen=True)
class Line:
    """One quantity.

    Attributes:
        key: names it for goals, as in `keep-alive/cpu`.
        title: names it for people.
        unit: of its figures.
        more_is_better: false for costs and times.
        values: what each round measured, by side, in the order of the rounds.
        note: what a reader has to know, such as failed requests.
        judged: false where `note` says that the figures are worth nothing.
        others: cores that other programs kept busy in the worst round; 0 where nobody looked.
        rounds: how many rounds in a row had the same start of a server: their median is one figure.
    """

    key: str
    title: str
    unit: str
    more_is_better: bool
    values: Mapping[str, Sequence[float]]
    note: str = ""
    judged: bool = True
    others: float = 0.0
    rounds: int = 1

    def figures(self, side: str) -> list[float]:
        """The figure of each start of a side; none if it took no part."""
        values = self.values.get(side, ())
        return [statistics.median(values[begin : begin + self.rounds]) for begin in range(0, len(values), self.rounds)]


@dataclass(frozen=True)
class Ratio:
    """One side's figure over another's, with the extremes of the pairs."""

    value: float
    lowest: float
    highest: float


@dataclass(frozen=True)
class Report:
    """The lines of one group, which were measured together, and where."""

    group: str
    lines: tuple[Line, ...]
    origin: Mapping[str, str] = field(default_factory=dict)


def ratio_of(figures: Sequence[float], reference: Sequence[float]) -> Ratio | None:
    """The median of the ratios of pairs; None where one of them has no figures."""
    if not figures or not reference:
        return None
    pairs = [mine / theirs for mine, theirs in zip(figures, reference, strict=False)]
    return Ratio(statistics.median(pairs), min(pairs), max(pairs))


def report_to_json(report: Report) -> dict[str, Any]:
    """As plain data."""
    lines = [
        {**vars(line), "values": {side: list(rounds) for side, rounds in line.values.items()}} for line in report.lines
    ]
    return {"group": report.group, "origin": dict(report.origin), "lines": lines}


def report_from_json(data: Mapping[str, Any]) -> Report:
    """The inverse of `report_to_json`."""
    return Report(data["group"], tuple(Line(**line) for line in data["lines"]), data["origin"])
