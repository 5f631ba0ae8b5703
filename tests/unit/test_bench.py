"""The pure parts of bench/speed.py: ratios, goals, tables, the plot, the order of rounds, arrivals and their client."""

from __future__ import annotations

import itertools
import socket
import statistics
import sys
import threading
import time
from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path
from xml.etree import ElementTree as ET

import pytest

sys.path.append(str(Path(__file__).resolve().parents[2] / "bench"))

from comparison.arrivals import Arrival, in_one_queue, percentile, poisson
from comparison.figures import Line, Ratio, Report, ratio_of, report_from_json, report_to_json
from comparison.goals import GOALS, Goal, Verdict, judge
from comparison.http_groups import BODIES, CONNECTIONS, FEW, FLASK, KEEP_ALIVE, LOGGED, SIZES
from comparison.open_loop import OpenLoop, Outcome, is_whole
from comparison.page import BEGIN, END, between_markers, summary, with_sentences
from comparison.plot import plot
from comparison.rounds import alternate, in_sets, order_of
from comparison.tables import cell, figures_table, goals_table, number, summary_of, summary_table
from sessions import BenchError

COST = Line("a/cpu", "a", "µs", False, {"ours": [10.0, 12.0, 11.0], "stock": [40.0, 40.0, 44.0]})
RATE = Line("a/rate", "b", "1/s", True, {"ours": [90.0], "stock": [30.0]})


def test_a_ratio_is_the_median_of_the_pairs_with_their_extremes() -> None:
    assert ratio_of([10.0, 12.0, 14.0], [40.0, 30.0, 40.0]) == Ratio(0.35, 0.25, 0.4)


def test_the_figure_of_a_start_is_the_median_of_its_rounds() -> None:
    line = Line("a/cpu", "a", "µs", False, {"ours": [1.0, 9.0, 2.0, 5.0, 4.0, 6.0]}, rounds=3)
    assert line.figures("ours") == [2.0, 5.0]
    assert line.figures("stock") == []


def test_a_start_that_is_unlike_the_others_decides_nothing() -> None:
    values = {"ours": [10.0, 10.0, 30.0, 32.0, 12.0, 12.0], "node20": [20.0, 20.0, 20.0, 20.0, 24.0, 24.0]}
    line = Line("a/cpu", "a", "µs", False, values, rounds=2)
    judgement = judge(Goal("", "a/cpu", 0.6, "node20"), {"a/cpu": line})
    assert (judgement.ratio, judgement.verdict) == (Ratio(0.5, 0.5, 1.55), Verdict.MET)
    assert cell(line.figures("ours")) == "12.0 (10.0 to 31.0)"


def test_there_is_no_ratio_without_figures() -> None:
    assert ratio_of([], [1.0]) is None


@pytest.mark.parametrize(
    ("goal", "verdict"),
    [
        (Goal("", "a/cpu", 0.25, "stock"), Verdict.MET),
        (Goal("", "a/cpu", 0.24, "stock"), Verdict.MISSED),
        (Goal("", "a/cpu", 0.24, "stock", required=False), Verdict.NOT_REACHED),
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
        "0.25 (0.25 to 0.30)",
        "**missed** |",
    ]


def test_the_table_has_a_column_for_each_side_that_was_measured() -> None:
    head, _, row = figures_table(Report("a", (COST,)))
    assert head == "| | ours | stock `-k gevent` | ours / stock `-k gevent` |"
    assert row == "| a, µs | 11.0 (10.0 to 12.0) | 40.0 (40.0 to 44.0) | 0.25 (0.25 to 0.30) |"


def test_what_was_measured_once_has_no_extremes() -> None:
    assert [cell(values) for values in ([], [12.3], [12.3, 12.5])] == ["", "12.3", "12.4 (12.3 to 12.5)"]


@pytest.mark.parametrize(("value", "text"), [(0.1234, "0.12"), (12.34, "12.3"), (1234.5, "1 234"), (1e6, "1 000 000")])
def test_numbers_have_the_digits_that_count(value: float, text: str) -> None:
    assert number(value) == text


def test_a_report_survives_its_file() -> None:
    report = Report("a", (COST, replace(RATE, rounds=3)), {"commit": "abc"})
    assert report_from_json(report_to_json(report)) == report


HELLO = Line("keep-alive/cpu", "", "µs", False, {"ours": [24.0], "stock": [100.0], "node20": [12.0]})
JSON_API = Line("flask/cpu", "", "µs", False, {"ours": [100.0], "stock": [200.0]})
LINES = {line.key: line for line in (HELLO, JSON_API)}


def test_the_summary_says_how_many_requests_a_core_answers_in_a_second() -> None:
    head, _, *rows = summary_table(summary_of(LINES))
    assert head == "| requests a core-second | ours | stock `-k gevent` | Node 20 |"
    assert rows == [
        "| connections kept alive | 41 700 | 10 000 | 83 300 |",
        "| a JSON API in Flask | 10 000 | 5 000 |  |",
    ]


def test_the_summary_compares_with_stock_and_node() -> None:
    assert summary(LINES)[-2:] == [
        "A keep-alive request costs 0.24 of the CPU time that it costs stock `gunicorn -k gevent`,",
        "and 2.00 of what it costs Node 20.",
    ]


def test_the_summary_leaves_out_what_was_not_measured() -> None:
    assert len(summary({})) == 4


def test_the_figure_has_a_bar_for_each_server_the_fastest_first() -> None:
    root = ET.fromstring(plot(summary_of(LINES)))
    bars = [float(element.get("width", "")) for element in root.iter() if element.get("fill", "").startswith("#")]
    assert bars[1:] == pytest.approx([560.0, 280.0, 67.2, 67.2, 33.6], abs=0.1)


def test_sentences_of_other_pages_follow_the_figures() -> None:
    text = "a keep-alive\n  request costs 0.99 of the CPU time that; a connection for each request 0.88."
    assert with_sentences(text, LINES) == text.replace("0.99", "0.24")


def test_what_is_written_stays_between_its_markers() -> None:
    begin, end = BEGIN.format("x"), END.format("x")
    page = f"a\n{begin}\nold\n{end}\nb"
    assert between_markers(page, "x", ["new"]) == f"a\n{begin}\n\nnew\n\n{end}\nb"
    with pytest.raises(BenchError, match="expected the lines"):
        between_markers(page, "y", [])


def test_every_goal_about_requests_is_measured_with_its_peer() -> None:
    cases = (KEEP_ALIVE, FEW, LOGGED, CONNECTIONS, FLASK, *SIZES, *BODIES)
    measured = {f"{case.key}/{what}": case.sides for case in cases for what in ("rate", "cpu")}
    measured["connections/primary"] = CONNECTIONS.sides
    goals = [goal for goal in GOALS if goal.line.partition("/")[0] in {case.key for case in cases}]
    assert len(goals) > 14
    assert [goal for goal in goals if goal.side not in measured[goal.line]] == []


def test_each_contestant_begins_as_often_as_it_ends() -> None:
    orders = [order_of("abc", index) for index in range(6)]
    assert sorted(order[0] for order in orders) == sorted(order[-1] for order in orders) == list("aabbcc")


def test_everybody_has_a_turn_in_each_round() -> None:
    turns: list[str] = []
    samples = alternate(["a", "b"], lambda name: turns.append(name) or len(turns), 3)  # type: ignore[func-returns-value]
    assert samples == {"a": [1, 4, 6], "b": [2, 3, 5]}


def test_every_set_starts_all_contestants_and_the_order_changes() -> None:
    orders: list[str] = []

    def measure_set(contestants: Sequence[str]) -> dict[str, list[int]]:
        orders.append("".join(contestants))
        return {contestant: [len(orders), -len(orders)] for contestant in contestants}

    samples = in_sets("ab", measure_set, 3)
    assert orders == ["ab", "ba", "ba"]
    assert samples == {"a": [1, -1, 2, -2, 3, -3], "b": [1, -1, 2, -2, 3, -3]}


def test_arrivals_are_the_same_for_everybody_and_as_many_as_asked_for() -> None:
    arrivals = poisson(120, 100, 0.1, seed=20)
    assert arrivals == poisson(120, 100, 0.1, seed=20) != poisson(120, 100, 0.1, seed=21)
    assert len(arrivals) == pytest.approx(12_000, rel=0.05)
    assert sum(one.slow for one in arrivals) == round(len(arrivals) / 10)
    assert all(before.due < after.due < 100 for before, after in itertools.pairwise(arrivals))


def test_arrivals_know_nothing_of_each_other() -> None:
    moments = [one.due for one in poisson(120, 100, 0.1, seed=20)]
    gaps = [after - before for before, after in itertools.pairwise(moments)]
    assert statistics.stdev(gaps) == pytest.approx(statistics.mean(gaps), rel=0.05)  # of an exponential distribution


@pytest.mark.parametrize(("share", "value"), [(0.0, 1), (0.5, 5), (0.51, 6), (0.99, 10), (1.0, 10)])
def test_a_percentile_is_one_of_the_values(share: float, value: float) -> None:
    assert percentile([10, 9, 8, 7, 6, 5, 4, 3, 2, 1], share) == value


def test_in_one_queue_everybody_goes_to_whoever_is_free_first() -> None:
    arrivals = [Arrival(0.0, True), Arrival(1.0, True), Arrival(2.0, False), Arrival(3.0, True), Arrival(15.0, False)]
    assert in_one_queue(arrivals, 2, slow_seconds=10.0) == [10.0, 10.0, 8.0, 17.0, 0.0]


@pytest.mark.parametrize(
    ("data", "whole"),
    [
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nab", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\na", False),
        (b"HTTP/1.1 200 OK\r\ncontent-length:0\r\n\r\n", True),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n", False),
        (b"", False),
    ],
)
def test_an_answer_is_whole_with_the_last_byte_of_its_body(data: bytes, whole: bool) -> None:
    assert is_whole(data) is whole


class OneAfterTheOther:
    """A server that answers its connections one after the other, each request with the next status."""

    def __init__(self, *statuses: str, keep_alive: bool, busy_seconds: float = 0.0) -> None:
        self.listener = socket.create_server(("127.0.0.1", 0))
        self.port = self.listener.getsockname()[1]
        self.paths: list[str] = []
        self._statuses = statuses
        self._keep_alive = keep_alive
        self._busy_seconds = busy_seconds

    def serve(self) -> None:
        while len(self.paths) < len(self._statuses):
            client, _ = self.listener.accept()
            with client:
                while data := client.recv(65536):
                    time.sleep(self._busy_seconds)
                    self.paths.append(data.decode().split()[1])
                    status = self._statuses[len(self.paths) - 1]
                    client.sendall(f"HTTP/1.1 {status}\r\nContent-Length: 1\r\n\r\nx".encode())
                    if not self._keep_alive:
                        break


def in_open_loop(server: OneAfterTheOther, arrivals: list[Arrival], connections: int) -> Outcome:
    thread = threading.Thread(target=server.serve)
    with server.listener:
        thread.start()
        outcome = OpenLoop(server.port, arrivals, connections).run()
        thread.join(20)
    return outcome


@pytest.mark.parametrize("connections", [0, 1])
def test_the_open_loop_sends_everything_and_counts_what_was_answered(connections: int) -> None:
    server = OneAfterTheOther("200 OK", "500 No", "200 OK", keep_alive=bool(connections))
    outcome = in_open_loop(server, [Arrival(0.0, False), Arrival(0.001, True), Arrival(0.002, False)], connections)
    assert server.paths == ["/", "/slow", "/"]
    assert ([answer.slow for answer in outcome.answers], outcome.errors) == ([False, False], 1)
    assert len(outcome.delays) == 3


def test_a_latency_counts_from_when_the_request_was_due_and_not_from_when_it_could_be_sent() -> None:
    server = OneAfterTheOther("200 OK", "200 OK", keep_alive=True, busy_seconds=0.02)
    outcome = in_open_loop(server, [Arrival(0.0, False), Arrival(0.0, False)], connections=1)
    first, second = (answer.latency for answer in outcome.answers)
    assert second >= first + 0.02


def test_requests_that_nobody_takes_are_errors() -> None:
    with socket.create_server(("127.0.0.1", 0)) as server:
        port = server.getsockname()[1]
    outcome = OpenLoop(port, [Arrival(0.0, False), Arrival(0.0, True)]).run()
    assert (outcome.answers, outcome.errors) == ([], 2)
