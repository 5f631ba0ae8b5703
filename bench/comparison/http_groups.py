"""Requests: keep-alive, a connection for each, sizes, bodies, Flask."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import dataclass
from typing import TypeVar

from sessions import BenchError

from comparison.contestants import HttpServer, Setup, check_answer, http_server
from comparison.figures import FLOOR, GRANIAN, GTHREAD, NODE20, NODE24, OURS, STOCK, SYNC, UWSGI, Line
from comparison.floor import compiled, floor_server
from comparison.groups import Group, Run
from comparison.rounds import alternate, in_sets
from comparison.wrk import CLOSE, Load, Sample, disturbance, measure

DEFAULT_SETUP = Setup()
WARM_UP_SECONDS = {NODE20: 4, NODE24: 4}
"""Until V8 has compiled what is hot, a request costs Node two to three times as much; one second for the others."""
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
    seconds: int = 1


def warm_up(servers: Mapping[str, HttpServer], load: Load, run: Run) -> None:
    """A round for each that does not count."""
    for side, server in servers.items():
        with suppress(BenchError):  # of slow handlers, one second may see none end
            measure(server, load, run.seconds(WARM_UP_SECONDS.get(side, 1)))


def sides_of(case: Case, run: Run) -> list[str]:
    """Those that take part, and the floor where it is measured and can be compiled."""
    floor = [FLOOR] if FLOOR in case.sides and compiled() is not None else []
    return [*run.among(*case.sides), *floor]


@contextmanager
def running(case: Case, run: Run, sides: Sequence[str]) -> Iterator[dict[str, HttpServer]]:
    """A server for each side, started in this order."""
    with ExitStack() as stack:
        servers = {side: stack.enter_context(server_of(side, case, run)) for side in sides}
        for side, server in servers.items():
            if case.load.mode[0] == "get" and side != FLOOR:
                check_answer(server, case.load.path)
        yield servers


def server_of(side: str, case: Case, run: Run) -> HttpServer:
    """A server that is not started yet."""
    if side == FLOOR:
        return floor_server(case.setup.workers)
    return http_server(side, run.tools, case.setup)


def sample_set(case: Case, run: Run, sides: Sequence[str]) -> dict[str, list[Sample]]:
    """Start a server for each side, warm it up, and measure all in alternating rounds."""
    with running(case, run, sides) as servers:
        warm_up(servers, case.load, run)
        seconds = run.seconds(case.seconds)
        return alternate(sides, lambda side: measure(servers[side], case.load, seconds), run.rounds_of_set)


def sample_case(case: Case, run: Run) -> dict[str, list[Sample]]:
    """Measure all sides, in several sets."""
    return in_sets(sides_of(case, run), lambda sides: sample_set(case, run, sides), run.sets)


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
    rounds: int = 1,
) -> Line:
    """One quantity of all samples; so many `rounds` in a row are of the same start."""
    values = {side: [pick(sample) for sample in some] for side, some in samples.items()}
    sound = not any(sample.errors for sample in samples.get(OURS, ()))
    others = disturbance([sample for some in samples.values() for sample in some])
    return Line(key, title, unit, more_is_better, values, note_of(samples), sound, others, rounds)


def rate_and_cpu(case: Case, samples: Samples, rounds: int = 1) -> list[Line]:
    """The two lines that every case has."""
    rate: Pick[Sample] = lambda sample: sample.rate  # noqa: E731
    per_second = f"{case.title}: per second"
    return [
        line(f"{case.key}/rate", per_second, "1/s", rate, samples, more_is_better=True, rounds=rounds),
        line(f"{case.key}/cpu", f"{case.title}: CPU", "µs", lambda sample: sample.cpu, samples, rounds=rounds),
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
    Case("10k", "10 KB response", Load("/10k"), (OURS, STOCK, NODE20, GRANIAN)),
    Case("1m", "1 MB response", Load("/1m"), (OURS, STOCK, NODE20, GRANIAN)),
)
BODIES = (
    Case("post-10k", "POST of 10 KB", Load(mode=("post", "10240"))),
    Case("post-10m", "POST of 10 MB (8 connections)", Load(mode=("post", "10485760"), connections=8)),
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
    return lambda run: [
        found for case in cases for found in rate_and_cpu(case, sample_case(case, run), run.rounds_of_set)
    ]


def measure_connections(run: Run) -> list[Line]:
    """A connection for each request, and what the primaries need for it where they hand connections over."""
    samples = sample_case(CONNECTIONS, run)
    floor = samples.pop(FLOOR, None)
    primaries = {side: samples[side] for side in (OURS, NODE20, NODE24) if side in samples}
    if floor:
        primaries[FLOOR] = floor
    title = "handoff: CPU of the primary alone, per connection"
    return [
        *rate_and_cpu(CONNECTIONS, samples, run.rounds_of_set),
        line("connections/primary", title, "µs", lambda sample: sample.primary, primaries, rounds=run.rounds_of_set),
    ]


GROUPS = [
    Group("keep-alive", "keep-alive hello", measure_cases(KEEP_ALIVE), needs_wrk=True, in_sets=True),
    Group("few", "keep-alive with 6 connections", measure_cases(FEW), needs_wrk=True, in_sets=True),
    Group("access-log", "keep-alive with access log", measure_cases(LOGGED), needs_wrk=True, in_sets=True),
    Group(
        "connections", "a connection for each request, and handoffs", measure_connections, needs_wrk=True, in_sets=True
    ),
    Group("sizes", "responses of 10 KB and 1 MB", measure_cases(*SIZES), needs_wrk=True, in_sets=True),
    Group("bodies", "POST of 10 KB and 10 MB", measure_cases(*BODIES), needs_wrk=True, in_sets=True),
    Group("flask", "a JSON API in Flask", measure_cases(FLASK), needs_wrk=True, in_sets=True),
]
