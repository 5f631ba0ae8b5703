"""Slow handlers among fast ones: every tenth request burns 50 ms of CPU.  How long do the others wait?

Two ways to ask.  In the *open loop* requests arrive when they arrive, at a rate that two cores can carry, and a
request's latency says what a client sees of workers that are busy.  In the *closed loop* wrk keeps 64 connections
full: everybody waits for the 63 others, and the latencies are above all 64 divided by the requests per second.
"""

from __future__ import annotations

import statistics
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace

from comparison.arrivals import Arrival, in_one_queue, percentile, poisson
from comparison.contestants import HttpServer
from comparison.figures import ONE_QUEUE, Line
from comparison.groups import Group, Run
from comparison.http_groups import DEFAULT_SETUP, Case, Pick, line, rate_and_cpu, running, sides_of, warm_up
from comparison.open_loop import OpenLoop
from comparison.rounds import alternate
from comparison.usage import usage_of
from comparison.wrk import CLOSE, Load, Sample, measure

SLOW_SHARE = 0.1
SLOW_SECONDS = 0.05
SEED = 20
MIXED = ("mixed", "10")
CLOSED = (
    Case("slow", "10 % slow, closed loop, connection each", Load(mode=MIXED, headers=(CLOSE,)), seconds=2),
    Case("slow-keep-alive", "10 % slow, closed loop, 64 kept alive", Load(mode=MIXED), seconds=2),
)


@dataclass(frozen=True)
class OpenCase:
    """Arrivals that all sides get, the same ones in every round.

    Attributes:
        key: begins the keys of its lines.
        title: begins their titles.
        rate: requests per second, on average.
        connections: how many stay open; 0 for a new one for each request.
        seconds: of a round.
    """

    key: str
    title: str
    rate: int
    connections: int = 0
    seconds: int = 4


OPEN = (
    OpenCase("slow-open", "10 % slow, 120 arrivals/s, connection each", 120),
    OpenCase("slow-open-fast", "10 % slow, 200 arrivals/s, connection each", 200, seconds=3),
    OpenCase("slow-open-keep-alive", "10 % slow, 120 arrivals/s, 32 kept alive", 120, connections=32, seconds=3),
)


@dataclass(frozen=True)
class OpenSample(Sample):
    """One round: latencies count from when a request was due.

    Attributes:
        fast_p99: of the requests that cost nothing.
        delay: milliseconds by which the client itself was late with one request in a hundred, or more.
    """

    fast_p99: float
    delay: float


def milliseconds(values: Sequence[float], share: float) -> float:
    """A percentile of so many seconds; 0 of none."""
    return percentile(values, share) * 1000 if values else 0.0


def measure_open(server: HttpServer, arrivals: Sequence[Arrival], case: OpenCase, seconds: int) -> OpenSample:
    """One round."""
    before = usage_of(server)
    outcome = OpenLoop(server.port, arrivals, case.connections).run()
    spent = usage_of(server) - before
    number = max(1, len(outcome.answers))
    latencies = [answer.latency for answer in outcome.answers]
    return OpenSample(
        requests=len(outcome.answers),
        rate=len(outcome.answers) / seconds,
        cpu=spent.tree * 1e6 / number,
        primary=spent.primary * 1e6 / number,
        p50=milliseconds(latencies, 0.5),
        p99=milliseconds(latencies, 0.99),
        p999=milliseconds(latencies, 0.999),
        errors=outcome.errors,
        others=spent.disturbance,
        fast_p99=milliseconds([answer.latency for answer in outcome.answers if not answer.slow], 0.99),
        delay=milliseconds(outcome.delays, 0.99),
    )


@dataclass(frozen=True)
class Quantity:
    """A percentile of all requests, or of the fast ones."""

    key: str
    title: str
    share: float
    pick: Pick[OpenSample]
    fast_only: bool = False

    def in_one_queue(self, arrivals: Sequence[Arrival], workers: int) -> float:
        """What it would be at best."""
        latencies = zip(arrivals, in_one_queue(arrivals, workers, SLOW_SECONDS), strict=True)
        return milliseconds([value for one, value in latencies if not (self.fast_only and one.slow)], self.share)


QUANTITIES = (
    Quantity("p50", "p50", 0.5, lambda one: one.p50),
    Quantity("p99", "p99", 0.99, lambda one: one.p99),
    Quantity("p999", "p99.9", 0.999, lambda one: one.p999),
    Quantity("fast-p99", "p99 of the fast", 0.99, lambda one: one.fast_p99, fast_only=True),
)


def lateness(samples: Mapping[str, Sequence[OpenSample]]) -> str:
    """How punctual the client was, at the side where it was least so."""
    worst = max(statistics.median(one.delay for one in some) for some in samples.values())
    return f"one request in a hundred was sent {worst:.0f} ms late"


def measure_open_loop(case: OpenCase, servers: Mapping[str, HttpServer], run: Run) -> list[Line]:
    """The latencies of one case, beside those of one queue for as many cores as there are workers."""
    seconds = run.seconds(case.seconds)
    arrivals = poisson(case.rate, seconds, SLOW_SHARE, SEED)
    samples = alternate(list(servers), lambda side: measure_open(servers[side], arrivals, case, seconds), run.rounds)
    lines = []
    for what in QUANTITIES:
        found = line(f"{case.key}/{what.key}", f"{case.title}: {what.title}", "ms", what.pick, samples)
        values = {**found.values, ONE_QUEUE: [what.in_one_queue(arrivals, DEFAULT_SETUP.workers)]}
        lines.append(replace(found, values=values))
    return [replace(lines[0], note="; ".join(filter(None, (lines[0].note, lateness(samples))))), *lines[1:]]


def measure_closed_loop(case: Case, servers: Mapping[str, HttpServer], run: Run) -> list[Line]:
    """Latencies at full load."""
    warm_up(servers, case.load, run)
    seconds = run.seconds(case.seconds)
    samples = alternate(list(servers), lambda side: measure(servers[side], case.load, seconds), run.rounds)
    return [
        *rate_and_cpu(case, samples),
        line(f"{case.key}/p50", f"{case.title}: p50", "ms", lambda one: one.p50, samples),
        line(f"{case.key}/p99", f"{case.title}: p99", "ms", lambda one: one.p99, samples),
        line(f"{case.key}/p999", f"{case.title}: p99.9", "ms", lambda one: one.p999, samples),
    ]


def measure_slow(run: Run) -> list[Line]:
    """Both ways, on the same servers."""
    with running(CLOSED[0], run, sides_of(CLOSED[0], run)) as servers:
        in_open_loops = [found for case in OPEN for found in measure_open_loop(case, servers, run)]
        return in_open_loops + [found for case in CLOSED for found in measure_closed_loop(case, servers, run)]


GROUPS = [Group("slow", "10 % of the handlers burn 50 ms of CPU", measure_slow, needs_wrk=True)]
