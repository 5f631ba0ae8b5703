"""The figure of the page: requests a core-second of each server, as bars in an SVG.  Pure."""

from __future__ import annotations

from collections.abc import Sequence
from xml.sax.saxutils import escape

from comparison.figures import OURS
from comparison.tables import NAMES, Bar, Row, number

LEFT, WIDTH, RIGHT = 190, 560, 90
TOP, BAR, GAP = 34, 17, 30
COLOURS = {OURS: "#b2182b"}
OTHERS = "#92a8bd"


def text(x: float, y: float, words: str, anchor: str = "start", weight: str = "normal") -> str:
    return f'<text x="{x:.1f}" y="{y:.1f}" text-anchor="{anchor}" font-weight="{weight}">{escape(words)}</text>'


def bar_of(bar: Bar, y: float, per_pixel: float) -> list[str]:
    """One server's name, bar and figure."""
    width, colour = bar.rate / per_pixel, COLOURS.get(bar.side, OTHERS)
    weight = "bold" if bar.side == OURS else "normal"
    return [
        text(LEFT - 8, y + BAR - 4, NAMES[bar.side].replace("`", ""), "end", weight),
        f'<rect x="{LEFT}" y="{y:.1f}" width="{width:.1f}" height="{BAR - 3}" fill="{colour}"/>',
        text(LEFT + width + 6, y + BAR - 4, number(round(bar.rate, -2)), weight=weight),
    ]


def plot(rows: Sequence[Row]) -> str:
    """The whole SVG: a group of bars for each row, the fastest server first, all on one scale."""
    per_pixel = max((bar.rate for row in rows for bar in row.bars), default=1.0) / WIDTH
    parts = [text(LEFT, 18, "requests a core-second: more is better", weight="bold")]
    y = float(TOP)
    for row in rows:
        parts.append(text(LEFT, y + 14, row.title, weight="bold"))
        y += 20
        for bar in sorted(row.bars, key=lambda one: -one.rate):
            parts += bar_of(bar, y, per_pixel)
            y += BAR
        y += GAP - 18
    width, height = LEFT + WIDTH + RIGHT, y
    head = f'<svg xmlns="http://www.w3.org/2000/svg" viewBox="0 0 {width} {height:.0f}" width="{width}"'
    style = 'font-family="sans-serif" font-size="12.5" fill="#222"'
    background = f'<rect width="{width}" height="{height:.0f}" fill="white"/>'
    return "\n".join([f'{head} height="{height:.0f}" {style}>', background, *parts, "</svg>", ""])
