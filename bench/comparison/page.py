"""docs/performance.md: the tables between their markers, the plot beside it, the raw figures in a file.

Groups can be measured in several runs: a new result replaces the former one of the same group.
"""

from __future__ import annotations

import json
from collections.abc import Mapping, Sequence

from sessions import BenchError

from comparison.figures import Report, report_from_json, report_to_json
from comparison.goals import judge_all
from comparison.plot import plot
from comparison.tables import figures_table, goals_table
from comparison.tools import ROOT

PAGE = ROOT / "docs" / "performance.md"
RAW = ROOT / "docs" / "performance.json"
PLOT = ROOT / "docs" / "performance.svg"
BEGIN, END = "<!-- begin of what bench/speed.py --write has written -->", "<!-- end of it -->"


def page(reports: Sequence[Report], titles: Mapping[str, str]) -> list[str]:
    """What must be reached, then everything that was measured, group by group."""
    lines = [line for report in reports for line in report.lines]
    text = ["", *goals_table(judge_all(lines)), "", *origins(reports)]
    for report in reports:
        text += ["", f"### {titles[report.group][0].upper()}{titles[report.group][1:]}", "", *figures_table(report)]
    return text


def origins(reports: Sequence[Report]) -> list[str]:
    """Each origin once, with its groups where there are several; the moment is that of the first group."""
    by_origin: dict[tuple[str, ...], list[Report]] = {}
    for report in reports:
        key = tuple(value for name, value in report.origin.items() if name != "when")
        by_origin.setdefault(key, []).append(report)
    rows = []
    for some in by_origin.values():
        where = some[0].origin
        groups = "" if len(by_origin) == 1 else f" ({', '.join(report.group for report in some)})"
        rows.append(
            f"- {where['machine']}; {where['versions']}; "
            f"commit {where['commit']}, {where['when']}, {where['how']}{groups}"
        )
    return rows


def read_reports() -> list[Report]:
    """The results so far."""
    if not RAW.exists():
        return []
    return [report_from_json(data) for data in json.loads(RAW.read_text(encoding="utf-8"))]


def with_new(former: Sequence[Report], new: Sequence[Report], order: Sequence[str]) -> list[Report]:
    """The former results, replaced where there are new ones, in order."""
    by_name = {report.group: report for report in [*former, *new]}
    return [by_name[name] for name in order if name in by_name]


def between_markers(text: str, lines: Sequence[str]) -> str:
    """The text with these lines between its markers."""
    before, _, rest = text.partition(BEGIN)
    _, found, after = rest.partition(END)
    if not found:
        raise BenchError(f"expected the lines {BEGIN!r} and {END!r} in {PAGE}, found only one of them or none")
    return "\n".join([before + BEGIN, *lines, "", END + after])


def check_page() -> None:
    """Raise unless the page has its markers: better before a run than after it."""
    between_markers(PAGE.read_text(encoding="utf-8"), [])


def write_page(reports: Sequence[Report], titles: Mapping[str, str]) -> None:
    """Write the raw figures, the plot and the tables."""
    RAW.write_text(json.dumps([report_to_json(report) for report in reports], indent=1) + "\n", encoding="utf-8")
    PLOT.write_text(plot(reports), encoding="utf-8")
    PAGE.write_text(between_markers(PAGE.read_text(encoding="utf-8"), page(reports, titles)), encoding="utf-8")
