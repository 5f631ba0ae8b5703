"""What must be reached, and whether it was.  Pure.

A *target* must be reached; *reach for* is what would be good to have, most of it against Node 24, which is faster in
places than Node 20, with which the targets were set.  Each compares our figure with a
reference: another side's figure of the same line, or our own of another line.

The one of slow handlers is judged by the open loop, a new connection for each request, 120 of them a second: what
it asks is how long a client waits because a worker is busy.  In the closed loop, which is printed too, latency is 64
connections divided by the requests per second, so it repeats the throughput.
"""

from __future__ import annotations

import enum
from collections.abc import Iterable, Mapping
from dataclasses import dataclass

from comparison.figures import FLOOR, GRANIAN, NODE20, NODE24, OURS, STOCK, Line, Ratio, ratio_of


class Verdict(enum.Enum):
    """How a goal came out."""

    MET = "met"
    MISSED = "**missed**"
    NOT_REACHED = "not reached"
    NOT_MEASURED = "not measured"


@dataclass(frozen=True)
class Goal:
    """One limit.

    Attributes:
        title: names the quantity for people.
        line: the key of our figure.
        limit: what the ratio may be at most; at least, where more is better.
        side: whose figure it is compared with.
        against: the key of the line of that figure, where it is another one.
        required: a target, and not something to reach for.
    """

    title: str
    line: str
    limit: float
    side: str
    against: str = ""
    required: bool = True


@dataclass(frozen=True)
class Judgement:
    """A goal, what was measured, and the verdict."""

    goal: Goal
    more_is_better: bool
    ratio: Ratio | None
    verdict: Verdict


GOALS = (
    Goal("keep-alive hello, CPU per request", "keep-alive/cpu", 0.6, NODE20),
    Goal("keep-alive hello, CPU per request", "keep-alive/cpu", 0.6, NODE24),
    Goal("keep-alive hello, CPU per request", "keep-alive/cpu", 0.15, STOCK),
    Goal("keep-alive hello, CPU per request", "keep-alive/cpu", 0.4, GRANIAN),
    Goal("keep-alive hello, 6 connections, CPU", "keep-alive-6/cpu", 0.75, NODE20),
    Goal("keep-alive hello with access log, CPU", "keep-alive-log/cpu", 0.2, STOCK),
    Goal("keep-alive hello, requests/s", "keep-alive/rate", 1.5, NODE20),
    Goal("keep-alive hello, requests/s", "keep-alive/rate", 3.5, STOCK),
    Goal("connection per request, CPU", "connections/cpu", 0.45, NODE20),
    Goal("connection per request, CPU", "connections/cpu", 0.35, STOCK),
    Goal("connection per request, CPU", "connections/cpu", 0.85, GRANIAN),
    Goal("primary's CPU per connection", "connections/primary", 0.5, NODE20),
    Goal("primary's CPU per connection", "connections/primary", 1.2, FLOOR),
    Goal("connections/s, one request each", "connections/rate", 2.0, STOCK),
    Goal("connections/s, one request each", "connections/rate", 2.0, NODE20),
    Goal("Flask JSON API, requests/s", "flask/rate", 1.8, STOCK),
    Goal("Flask JSON API, requests/s", "flask/rate", 1.3, GRANIAN),
    Goal("10 KB answer, CPU", "10k/cpu", 0.7, NODE20),
    Goal("1 MB answer, CPU", "1m/cpu", 0.8, NODE20),
    Goal("POST of 10 KB, CPU", "post-10k/cpu", 0.7, NODE20),
    Goal("messages, one way", "messages/one-way", 2.5, NODE20),
    Goal("messages, round trip", "messages/round-trip", 1.2, NODE20),
    Goal("messages, 1 MiB echo", "messages/large", 4.0, NODE20),
    Goal("PSS of each further worker, preloaded", "memory/hello", 0.75, NODE20),
    Goal("fork to listening, preloaded", "fork/preloaded", 0.25, NODE20),
    Goal("CPU per connection at 5 000 open, against 10", "open/connection-5000", 1.2, OURS, "open/connection-10"),
    Goal("CPU of a handoff with 16 workers, against 2", "workers/primary-16", 1.2, OURS, "workers/primary-2"),
    Goal("p99 with 10 % slow handlers (50 ms of CPU)", "slow-open/p99", 0.7, STOCK),
    Goal("p99 with 10 % slow handlers (50 ms of CPU)", "slow-open/p99", 1.0, NODE20, required=False),
    Goal("messages, one way", "messages/one-way", 4.0, NODE20, required=False),
    Goal("messages, round trip", "messages/round-trip", 1.5, NODE20, required=False),
    Goal("PSS of each further worker, preloaded", "memory/hello", 0.5, NODE20, required=False),
    Goal("connection per request, CPU", "connections/cpu", 0.5, NODE24, required=False),
    Goal("messages, one way", "messages/one-way", 4.0, NODE24, required=False),
    Goal("messages, round trip", "messages/round-trip", 1.5, NODE24, required=False),
    Goal("messages, 1 MiB echo", "messages/large", 3.0, NODE24, required=False),
    Goal("fork to listening, preloaded", "fork/preloaded", 0.25, NODE24, required=False),
    Goal("PSS of each further worker, preloaded", "memory/hello", 0.5, NODE24, required=False),
)


def judge(goal: Goal, lines: Mapping[str, Line]) -> Judgement:
    """Compare what was measured with what was asked for."""
    ours, theirs = lines.get(goal.line), lines.get(goal.against or goal.line)
    if ours is None or theirs is None:
        return Judgement(goal, False, None, Verdict.NOT_MEASURED)
    ratio = ratio_of(ours.figures(OURS), theirs.figures(goal.side))
    if ratio is None:
        return Judgement(goal, ours.more_is_better, None, Verdict.NOT_MEASURED)
    reached = ratio.value >= goal.limit if ours.more_is_better else ratio.value <= goal.limit
    met = reached and ours.judged and theirs.judged
    short = Verdict.MISSED if goal.required else Verdict.NOT_REACHED
    return Judgement(goal, ours.more_is_better, ratio, Verdict.MET if met else short)


def judge_all(lines: Iterable[Line]) -> list[Judgement]:
    """Every goal, in the order in which they are stated."""
    by_key = {line.key: line for line in lines}
    return [judge(goal, by_key) for goal in GOALS]
