"""The plot: how many times better ours is than each peer, as an SVG.  Pure.

One row for each line, a mark for each peer, on a logarithmic scale; a bar goes through the mark from the worst to the
best pair of rounds.  To the right of 1 ours is better, whether more or less of the quantity is.
"""

from __future__ import annotations

import math
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from xml.sax.saxutils import escape

from comparison.figures import GRANIAN, NODE20, NODE24, OURS, STOCK, Line, Ratio, Report, ratio_of

LEFT, WIDTH, RIGHT = 420, 560, 30
TOP, ROW, BOTTOM = 66, 24, 40
LOWEST, HIGHEST = 0.125, 16.0
TICKS = (0.125, 0.25, 0.5, 1, 2, 4, 8, 16)
COLOURS = {STOCK: "#2166ac", NODE20: "#1b7837", NODE24: "#7fbf3f", GRANIAN: "#b35806"}
NAMES = {STOCK: "than stock -k gevent", NODE20: "than Node 20", NODE24: "than Node 24", GRANIAN: "than granian"}
OFFSETS = {STOCK: -6, NODE20: -2, NODE24: 2, GRANIAN: 6}
TIMES = "\N{MULTIPLICATION SIGN}"
NOT_PLOTTED = ("open", "workers")


@dataclass(frozen=True)
class Mark:
    """One peer in one row: times better, and the worst and best pair."""

    side: str
    value: float
    worst: float
    best: float


def times_better(ratio: Ratio, *, more_is_better: bool) -> tuple[float, float, float]:
    """The ratio turned so that more is better: value, worst, best."""
    if more_is_better:
        return ratio.value, ratio.lowest, ratio.highest
    return 1 / ratio.value, 1 / ratio.highest, 1 / ratio.lowest


def marks_of(line: Line) -> list[Mark]:
    """The peers that this line can be compared with."""
    marks = []
    for side in COLOURS:
        ratio = ratio_of(line.values.get(OURS, ()), line.values.get(side, ()))
        if ratio is not None:
            marks.append(Mark(side, *times_better(ratio, more_is_better=line.more_is_better)))
    return marks


def x_of(value: float) -> float:
    """The place of a value, kept within the frame."""
    bounded = min(max(value, LOWEST), HIGHEST)
    return LEFT + WIDTH * math.log(bounded / LOWEST) / math.log(HIGHEST / LOWEST)


def text(x: float, y: float, words: str, anchor: str = "start", colour: str = "#222", weight: str = "normal") -> str:
    style = f'text-anchor="{anchor}" fill="{colour}" font-weight="{weight}"'
    return f'<text x="{x:.1f}" y="{y:.1f}" {style}>{escape(words)}</text>'


def stroke(x1: float, y1: float, x2: float, y2: float, colour: str, width: float = 1) -> str:
    return f'<line x1="{x1:.1f}" y1="{y1:.1f}" x2="{x2:.1f}" y2="{y2:.1f}" stroke="{colour}" stroke-width="{width}"/>'


def legend() -> list[str]:
    parts = [
        text(LEFT, 20, "how many times better ours is (logarithmic; the bar spans all pairs of rounds)", weight="bold")
    ]
    for index, (side, colour) in enumerate(COLOURS.items()):
        x = LEFT + index * 150
        parts += [
            f'<circle cx="{x + 5}" cy="37" r="4.5" fill="{colour}"/>',
            text(x + 14, 41, NAMES[side], colour=colour),
        ]
    return parts


def frame(height: float) -> list[str]:
    """The scale, and the line at 1."""
    parts = []
    for tick in TICKS:
        x = x_of(tick)
        colour, width = ("#222", 1.5) if tick == 1 else ("#ddd", 1)
        parts += [
            stroke(x, TOP - 10, x, height - BOTTOM, colour, width),
            text(x, height - BOTTOM + 16, f"{tick:g}{TIMES}", "middle"),
        ]
    return parts


def row(line: Line, marks: Iterable[Mark], y: float) -> list[str]:
    parts = [text(LEFT - 12, y + 4, line.title, "end")]
    for mark in marks:
        height, colour = y + OFFSETS[mark.side], COLOURS[mark.side]
        parts += [
            stroke(x_of(mark.worst), height, x_of(mark.best), height, colour, 2),
            f'<circle cx="{x_of(mark.value):.1f}" cy="{height:.1f}" r="4.5" fill="{colour}"/>',
        ]
    return parts


def plot(reports: Sequence[Report]) -> str:
    """The whole SVG."""
    lines = [line for report in reports if report.group not in NOT_PLOTTED for line in report.lines]
    rows = [(line, marks) for line in lines if (marks := marks_of(line))]
    width, height = LEFT + WIDTH + RIGHT, TOP + ROW * len(rows) + BOTTOM
    parts = [*legend(), *frame(height)]
    for index, (line, marks) in enumerate(rows):
        parts += row(line, marks, TOP + ROW * (index + 0.5))
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height}" width="{width}" height="{height}"'
    style = 'font-family="sans-serif" font-size="12.5"'
    background = f'<rect width="{width}" height="{height}" fill="white"/>'
    return "\n".join([f"{head} {style}>", background, *parts, "</svg>", ""])
