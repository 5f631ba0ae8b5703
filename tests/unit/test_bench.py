"""The pure parts of bench/speed.py: ratios, goals, tables, the plot, the order of rounds."""

from __future__ import annotations

import sys
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from comparison.figures import Line, Ratio, Report, ratio_of, report_from_json, report_to_json
from comparison.goals import Goal, Verdict, judge
from comparison.plot import plot, times_better
from comparison.rounds import alternate, order_of
from comparison.tables import figures_table, goals_table, number

COST = Line("a/cpu", "a", "µs", False, {"ours": [10.0, 12.0, 11.0], "stock": [40.0, 40.0, 44.0]})
RATE = Line("a/rate", "b", "1/s", True, {"ours": [90.0], "stock": [30.0]})


def test_a_ratio_is_that_of_the_medians_with_the_extremes_of_the_pairs() -> None:
    assert ratio_of([10.0, 12.0, 11.0], [40.0, 40.0, 44.0]) == Ratio(0.275, 0.25, 0.3)


def test_there_is_no_ratio_without_figures() -> None:
    assert ratio_of([], [1.0]) is None


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("", "a/cpu", 0.275, "stock"), Verdict.MET),
        (Goal("", "a/cpu", 0.27, "stock"), Verdict.MISSED),
        (Goal("", "a/cpu", 0.27, "stock", required=False), Verdict.NOT_REACHED),
        (Goal("", "a/rate", 3.0, "stock"), Verdict.MET),
        (Goal("", "a/rate", 3.1, "stock"), Verdict.MISSED),
        (Goal("", "a/cpu", 1.0, "node20"), Verdict.NOT_MEASURED),
        (Goal("", "b/cpu", 1.0, "stock"), Verdict.NOT_MEASURED),
    ],
)
def test_a_goal_is_judged_by_what_is_better(goal: Goal, verdict: Verdict) -> None:
    assert judge(goal, {line.key: line for line in (COST, RATE)}).verdict is verdict


def test_a_goal_can_compare_two_lines_of_ours() -> None:
    few, many = (Line(key, "", "µs", False, {"ours": [cost]}) for key, cost in (("few", 10.0), ("many", 13.0)))
    judgement = judge(Goal("", "many", 1.2, "ours", against="few"), {"few": few, "many": many})
    assert (judgement.ratio, judgement.verdict) == (Ratio(1.3, 1.3, 1.3), Verdict.MISSED)


def test_figures_with_errors_meet_no_goal() -> None:
    broken = Line("a/cpu", "a", "µs", False, COST.values, "3 errors of ours", judged=False)
    assert judge(Goal("", "a/cpu", 1.0, "stock"), {"a/cpu": broken}).verdict is Verdict.MISSED


def test_a_missed_target_is_a_row_of_the_table() -> None:
    rows = goals_table([judge(Goal("keep-alive", "a/cpu", 0.2, "stock"), {"a/cpu": COST})])
    assert rows[-1].split(" | ")[1:] == [
        "≤ 0.2 \N{MULTIPLICATION SIGN} stock `-k gevent`",
        "0.28 (0.25 to 0.30)",
        "**missed** |",
    ]


def test_the_table_has_a_column_for_each_side_that_was_measured() -> None:
    head, _, row = figures_table(Report("a", (COST,)))
    assert head == "| | ours | stock `-k gevent` | ours / stock `-k gevent` |"
    assert row == "| a, µs | 11.0 (10.0 to 12.0) | 40.0 (40.0 to 44.0) | 0.28 (0.25 to 0.30) |"


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1 234"), (1e6, "1 000 000")])
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_report_survives_its_file() -> None:
    report = Report("a", (COST, RATE), {"commit": "abc"})
    assert report_from_json(report_to_json(report)) == report


def test_the_plot_turns_costs_round() -> None:
    assert times_better(Ratio(0.5, 0.4, 0.8), more_is_better=False) == (2.0, 1.25, 2.5)
    assert times_better(Ratio(0.5, 0.4, 0.8), more_is_better=True) == (0.5, 0.4, 0.8)


def test_the_plot_has_a_mark_for_each_comparison() -> None:
    root = ET.fromstring(plot([Report("a", (COST, RATE))]))
    marks = [element for element in root.iter() if element.tag.endswith("circle") and element.get("cy") != "37"]
    assert len(marks) == 2


def test_each_contestant_begins_as_often_as_it_ends() -> None:
    orders = [order_of("abc", index) for index in range(6)]
    assert sorted(order[0] for order in orders) == sorted(order[-1] for order in orders) == list("aabbcc")


def test_everybody_has_a_turn_in_each_round() -> None:
    turns: list[str] = []
    samples = alternate(["a", "b"], lambda name: turns.append(name) or len(turns), 3)  # type: ignore[func-returns-value]
    assert samples == {"a": [1, 4, 6], "b": [2, 3, 5]}
