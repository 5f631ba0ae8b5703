"""The tables: requests a core-second, what was asked for, and everything that was measured.  Pure."""

from __future__ import annotations

import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass

from comparison.figures import (
    FLOOR,
    GRANIAN,
    GTHREAD,
    NODE20,
    NODE24,
    ONE_QUEUE,
    OURS,
    SIDES,
    STOCK,
    SYNC,
    UWSGI,
    Line,
    Ratio,
    Report,
    ratio_of,
)
from comparison.goals import Judgement, Verdict

NAMES = {
    OURS: "ours",
    STOCK: "stock `-k gevent`",
    GTHREAD: "stock `-k gthread`",
    SYNC: "stock `-k sync`",
    NODE20: "Node 20",
    NODE24: "Node 24",
    GRANIAN: "granian",
    UWSGI: "uWSGI",
    FLOOR: "the same handoff in C",
    ONE_QUEUE: "one queue for both cores",
}
TIMES = "\N{MULTIPLICATION SIGN}"
DISTURBED_CORES = 0.1
COMPARED = (STOCK, NODE20, NODE24)
SUMMARY = {
    "keep-alive/cpu": "connections kept alive",
    "keep-alive-log/cpu": "the same, with an access log",
    "connections/cpu": "a connection for each request",
    "flask/cpu": "a JSON API in Flask",
}
"""What the page begins with: the keys of lines that say what a request costs."""
UNSUMMARISED = (NODE24, FLOOR)


@dataclass(frozen=True)
class Bar:
    """One server: how many requests it answers for a second of processor time."""

    side: str
    rate: float


@dataclass(frozen=True)
class Row:
    """One kind of request."""

    title: str
    bars: tuple[Bar, ...]


def number(value: float) -> str:
    """A figure with three digits that count: 0.123, 12.3, 1 234."""
    if value >= 100:
        return f"{value:,.0f}".replace(",", " ")
    return f"{value:.1f}" if value >= 10 else f"{value:.2f}"


def cell(values: Sequence[float]) -> str:
    """The median, and the lowest and highest where there were several."""
    if len(values) < 2:
        return "".join(map(number, values))
    return f"{number(statistics.median(values))} ({number(min(values))} to {number(max(values))})"


def ratio_cell(ratio: Ratio | None) -> str:
    """A ratio with the extremes of its pairs."""
    return "" if ratio is None else f"{ratio.value:.2f} ({ratio.lowest:.2f} to {ratio.highest:.2f})"


def summary_of(lines: Mapping[str, Line]) -> list[Row]:
    """The rows of the summary that were measured, with the sides that were."""
    rows = []
    for key, title in SUMMARY.items():
        if key not in lines:
            continue
        figures = {side: lines[key].figures(side) for side in SIDES if side not in UNSUMMARISED}
        bars = tuple(Bar(side, 1e6 / statistics.median(some)) for side, some in figures.items() if some)
        if bars:
            rows.append(Row(title, bars))
    return rows


def summary_table(rows: Sequence[Row]) -> list[str]:
    """Requests a core-second, in hundreds: a row for each kind of request, a column for each server."""
    sides = [side for side in SIDES if any(bar.side == side for row in rows for bar in row.bars)]
    lines = [
        f"| requests a core-second | {' | '.join(NAMES[side] for side in sides)} |",
        "|---|" + "---:|" * len(sides),
    ]
    for row in rows:
        rates = {bar.side: number(round(bar.rate, -2)) for bar in row.bars}
        lines.append(f"| {row.title} | {' | '.join(rates.get(side, '') for side in sides)} |")
    return lines


def goals_table(judgements: Iterable[Judgement]) -> list[str]:
    """One row for each goal."""
    rows = ["| | goal | measured | |", "|---|---|---|---|"]
    for judgement in judgements:
        if judgement.verdict is Verdict.NOT_MEASURED:
            continue
        goal = judgement.goal
        kind = "" if goal.required else "reach for "
        sign = "≥" if judgement.more_is_better else "≤"
        name = "itself" if goal.against else NAMES[goal.side]
        rows.append(
            f"| {goal.title} | {kind}{sign} {goal.limit:g} {TIMES} {name} "
            f"| {ratio_cell(judgement.ratio)} | {judgement.verdict.value} |"
        )
    return rows


def figures_table(report: Report) -> list[str]:
    """One row for each line: the figures of each side that has any, then ours as a multiple of those of others."""
    sides = [side for side in SIDES if any(line.values.get(side) for line in report.lines)]
    peers = [side for side in sides if side in COMPARED and OURS in sides]
    columns = [NAMES[side] for side in sides] + [f"ours / {NAMES[side]}" for side in peers]
    head = ["| | " + " | ".join(columns) + " |", "|---|" + "---|" * len(columns)]
    others = max((line.others for line in report.lines), default=0.0)
    busy = ["", f"Other programs kept up to {others:.1f} cores busy meanwhile."] if others > DISTURBED_CORES else []
    return [*head, *(figures_row(line, sides, peers) for line in report.lines), *busy]


def figures_row(line: Line, sides: Sequence[str], peers: Sequence[str]) -> str:
    """The row of one line; what has no column goes into its title."""
    cells = [cell(line.figures(side)) for side in sides]
    cells += [ratio_cell(ratio_of(line.figures(OURS), line.figures(side))) for side in peers]
    others = [f"{NAMES.get(side, side)}: {cell(line.figures(side))}" for side in line.values if side not in SIDES]
    remarks = [*others, *([line.note] if line.note else [])]
    title = f"{line.title}, {line.unit}" + "".join(f"; {remark}" for remark in remarks)
    return f"| {title} | " + " | ".join(cells) + " |"
