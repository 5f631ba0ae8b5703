"""Requests: keep-alive, a connection for each, sizes, bodies, Flask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from sessions import BenchError

from comparison.contestants import HttpServer, Setup, check_answer, http_server
from comparison.figures import FLOOR, GRANIAN, GTHREAD, NODE20, NODE24, OURS, STOCK, SYNC, UWSGI, Line
from comparison.floor import floor_server
from comparison.groups import Group, Run
from comparison.rounds import alternate
from comparison.wrk import CLOSE, Load, Sample, disturbance, measure

DEFAULT_SETUP = Setup()
Kind = TypeVar("Kind", bound=Sample)
Samples = Mapping[str, Sequence[Sample]]
Pick = Callable[[Kind], float]


@dataclass(frozen=True)
class Case:
    """A load that all sides get.

    Attributes:
        key: begins the keys of its lines.
        title: begins their titles.
        load: what wrk sends.
        sides: who takes part.
        setup: how the servers run.
        seconds: of a round.
    """

    key: str
    title: str
    load: Load
    sides: tuple[str, ...] = (OURS, STOCK, NODE20)
    setup: Setup = DEFAULT_SETUP
    seconds: int = 3


def sample_all(servers: Mapping[str, HttpServer], load: Load, run: Run, seconds: int) -> dict[str, list[Sample]]:
    """One round each that does not count, then alternating rounds."""
    for server in servers.values():
        with suppress(BenchError):  # of slow handlers, one second may see none end
            measure(server, load, 1)
    return alternate(list(servers), lambda side: measure(servers[side], load, run.seconds(seconds)), run.rounds)


@contextmanager
def running(case: Case, run: Run) -> Iterator[dict[str, HttpServer]]:
    """A server for each side, and the floor where it takes part."""
    with ExitStack() as stack:
        servers = {
            side: stack.enter_context(http_server(side, run.tools, case.setup)) for side in run.among(*case.sides)
        }
        for server in servers.values():
            if case.load.mode[0] == "get":
                check_answer(server, case.load.path)
        if FLOOR in case.sides and (floor := floor_server(case.setup.workers)) is not None:
            servers[FLOOR] = stack.enter_context(floor)
        yield servers


def sample_case(case: Case, run: Run) -> dict[str, list[Sample]]:
    """Start a server for each side and measure them all."""
    with running(case, run) as servers:
        return sample_all(servers, case.load, run, case.seconds)


def note_of(samples: Samples) -> str:
    """Whose requests failed."""
    errors = {side: sum(one.errors for one in some) for side, some in samples.items()}
    return "; ".join(f"{number} errors of {side}" for side, number in errors.items() if number)


def line(
    key: str,
    title: str,
    unit: str,
    pick: Pick[Kind],
    samples: Mapping[str, Sequence[Kind]],
    *,
    more_is_better: bool = False,
) -> Line:
    """One quantity of all samples."""
    values = {side: [pick(sample) for sample in some] for side, some in samples.items()}
    sound = not any(sample.errors for sample in samples.get(OURS, ()))
    others = disturbance([sample for some in samples.values() for sample in some])
    return Line(key, title, unit, more_is_better, values, note_of(samples), sound, others)


def rate_and_cpu(case: Case, samples: Samples) -> list[Line]:
    """The two lines that every case has."""
    per_second = f"{case.title}: per second"
    return [
        line(f"{case.key}/rate", per_second, "1/s", lambda sample: sample.rate, samples, more_is_better=True),
        line(f"{case.key}/cpu", f"{case.title}: CPU", "µs", lambda sample: sample.cpu, samples),
    ]


KEEP_ALIVE = Case("keep-alive", "keep-alive hello", Load(), (OURS, STOCK, GTHREAD, NODE20, NODE24, GRANIAN, UWSGI))
FEW = Case("keep-alive-6", "keep-alive hello, 6 connections", Load(connections=6), (OURS, STOCK, NODE20, GRANIAN))
LOGGED = Case(
    "keep-alive-log",
    "keep-alive hello with access log",
    Load(),
    (OURS, STOCK, GTHREAD, GRANIAN, UWSGI),
    Setup(access_log=True),
)
CONNECTIONS = Case(
    "connections",
    "connection per request",
    Load(headers=(CLOSE,)),
    (OURS, STOCK, GTHREAD, SYNC, NODE20, NODE24, GRANIAN, UWSGI, FLOOR),
    Setup(closes=True),
)
SIZES = (
    Case("10k", "10 KB response", Load("/10k"), (OURS, STOCK, NODE20, GRANIAN), seconds=2),
    Case("1m", "1 MB response", Load("/1m"), (OURS, STOCK, NODE20, GRANIAN), seconds=2),
)
BODIES = (
    Case("post-10k", "POST of 10 KB", Load(mode=("post", "10240")), seconds=2),
    Case("post-10m", "POST of 10 MB (8 connections)", Load(mode=("post", "10485760"), connections=8), seconds=2),
)
FLASK = Case(
    "flask",
    "Flask JSON API",
    Load("/orders/7?first=3"),
    (OURS, STOCK, GTHREAD, GRANIAN, UWSGI),
    Setup(app="flask_api:app", ready_path="/orders/1"),
)


def measure_cases(*cases: Case) -> Callable[[Run], list[Line]]:
    """Measure one case after the other."""
    return lambda run: [found for case in cases for found in rate_and_cpu(case, sample_case(case, run))]


def measure_connections(run: Run) -> list[Line]:
    """A connection for each request, and what the primaries need for it where they hand connections over."""
    samples = sample_case(CONNECTIONS, run)
    floor = samples.pop(FLOOR, None)
    primaries = {side: samples[side] for side in (OURS, NODE20, NODE24) if side in samples}
    if floor:
        primaries[FLOOR] = floor
    title = "handoff: CPU of the primary alone, per connection"
    return [
        *rate_and_cpu(CONNECTIONS, samples),
        line("connections/primary", title, "µs", lambda sample: sample.primary, primaries),
    ]


GROUPS = [
    Group("keep-alive", "keep-alive hello", measure_cases(KEEP_ALIVE), needs_wrk=True),
    Group("few", "keep-alive with 6 connections", measure_cases(FEW), needs_wrk=True),
    Group("access-log", "keep-alive with access log", measure_cases(LOGGED), needs_wrk=True),
    Group("connections", "a connection for each request, and handoffs", measure_connections, needs_wrk=True),
    Group("sizes", "responses of 10 KB and 1 MB", measure_cases(*SIZES), needs_wrk=True),
    Group("bodies", "POST of 10 KB and 10 MB", measure_cases(*BODIES), needs_wrk=True),
    Group("flask", "a JSON API in Flask", measure_cases(FLASK), needs_wrk=True),
]
