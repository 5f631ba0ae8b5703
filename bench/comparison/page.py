"""docs/performance.md: the summary and the tables between their markers, the figure, the raw figures in a file.

README.md and CHANGELOG.md say what a request costs in a sentence, whose numbers are kept as well.

Groups can be measured in several runs: a new result replaces the former one of the same group.
"""

from __future__ import annotations

import json
import re
from collections.abc import Mapping, Sequence

from sessions import BenchError

from comparison.figures import NODE20, OURS, STOCK, Line, Report, ratio_of, report_from_json, report_to_json
from comparison.goals import judge_all
from comparison.plot import plot
from comparison.tables import figures_table, goals_table, summary_of, summary_table
from comparison.tools import ROOT

PAGE = ROOT / "docs" / "performance.md"
RAW = ROOT / "docs" / "performance.json"
PLOT = ROOT / "docs" / "performance.svg"
SUMMARY, RESULTS = "summary", "results"
BEGIN, END = "<!-- begin of the {} that bench/speed.py --write has written -->", "<!-- end of the {} -->"
SENTENCES = (
    (re.compile(r"(keep-alive\s+request\s+costs\s+)\d\.\d\d(?=\s+of)"), "keep-alive/cpu"),
    (re.compile(r"(a\s+connection\s+for\s+each\s+request\s+)\d\.\d\d"), "connections/cpu"),
)
"""What other pages say of ours over stock, with the key of the line that knows it."""


def page(reports: Sequence[Report], titles: Mapping[str, str]) -> list[str]:
    """What must be reached, then everything that was measured, group by group."""
    lines = [line for report in reports for line in report.lines]
    text = [*goals_table(judge_all(lines)), "", *origins(reports)]
    for report in reports:
        text += ["", f"### {titles[report.group][0].upper()}{titles[report.group][1:]}", "", *figures_table(report)]
    return text


def summary(lines: Mapping[str, Line]) -> list[str]:
    """The figure, the table, and a sentence."""
    text = [f"![requests a core-second of each server]({PLOT.name})", "", *summary_table(summary_of(lines))]
    stock, node = (ratio(lines, "keep-alive/cpu", side) for side in (STOCK, NODE20))
    if stock and node:
        text += [
            "",
            f"A keep-alive request costs {stock} of the CPU time that it costs stock `gunicorn -k gevent`,",
            f"and {node} of what it costs Node 20.",
        ]
    return text


def ratio(lines: Mapping[str, Line], key: str, side: str) -> str:
    """Our figure over another side's, with two decimals; nothing where it was not measured."""
    found = ratio_of(lines[key].figures(OURS), lines[key].figures(side)) if key in lines else None
    return "" if found is None else f"{found.value:.2f}"


def with_sentences(text: str, lines: Mapping[str, Line]) -> str:
    """The text of another page with the numbers that were measured."""
    for pattern, key in SENTENCES:
        measured = ratio(lines, key, STOCK)
        if measured:
            text = pattern.sub(rf"\g<1>{measured}", text)
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


def between_markers(text: str, name: str, lines: Sequence[str]) -> str:
    """The text with these lines between the markers of this name."""
    begin, end = BEGIN.format(name), END.format(name)
    before, _, rest = text.partition(begin)
    _, found, after = rest.partition(end)
    if not found:
        raise BenchError(f"expected the lines {begin!r} and {end!r} in {PAGE}, found only one of them or none")
    return "\n".join([before + begin, "", *lines, "", end + after])


def check_page() -> None:
    """Raise unless the page has its markers: better before a run than after it."""
    for name in (SUMMARY, RESULTS):
        between_markers(PAGE.read_text(encoding="utf-8"), name, [])


def write_page(reports: Sequence[Report], titles: Mapping[str, str]) -> None:
    """Write the raw figures, the figure, the tables, and the sentences of other pages."""
    lines = {line.key: line for report in reports for line in report.lines}
    RAW.write_text(json.dumps([report_to_json(report) for report in reports], indent=1) + "\n", encoding="utf-8")
    PLOT.write_text(plot(summary_of(lines)), encoding="utf-8")
    text = between_markers(PAGE.read_text(encoding="utf-8"), SUMMARY, summary(lines))
    PAGE.write_text(between_markers(text, RESULTS, page(reports, titles)), encoding="utf-8")
    for path in (ROOT / "README.md", ROOT / "CHANGELOG.md"):
        path.write_text(with_sentences(path.read_text(encoding="utf-8"), lines), encoding="utf-8")
