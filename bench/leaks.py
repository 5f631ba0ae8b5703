"""What every process holds before and after many connections and many messages."""

from __future__ import annotations

import time
from collections.abc import Callable

import procfs
from figures import NOTHING, Figure, Options, Outcome, Row, each_side, judge, progress
from gunicorns import OURS, BenchError, Server, Side
from load import many_requests

WORKERS = 2
MESSAGES_PER_REQUEST = 1000
FLAT_KIB = 1024  # what any process may grow by in the second half of the work
SETTLE_SECONDS = 10.0
Snapshot = dict[int, procfs.Holdings]


def snapshot(server: Server) -> Snapshot:
    """The holdings of the primary and of each worker."""
    return {pid: procfs.holdings(pid) for pid in [server.pid, *server.workers()]}


def settled(server: Server, wanted: Snapshot) -> Snapshot:
    """A snapshot as soon as the descriptors are as before, or after some seconds as they are."""
    deadline = time.monotonic() + SETTLE_SECONDS
    while True:
        now = snapshot(server)
        if now.keys() != wanted.keys():
            raise BenchError("a worker was replaced meanwhile")
        same = all(now[pid].descriptors == wanted[pid].descriptors for pid in wanted)
        if same or time.monotonic() > deadline:
            return now
        time.sleep(0.2)


def describe(before: Snapshot, middle: Snapshot, after: Snapshot) -> list[Outcome]:
    """Two outcomes: descriptors, and memory, primary first."""

    def numbers(moment: Snapshot, field: str) -> str:
        return "/".join(str(getattr(holding, field)) for holding in moment.values())

    def mebibytes(moment: Snapshot, field: str) -> str:
        return "/".join(f"{getattr(holding, field) / 1024:.1f}" for holding in moment.values())

    same = numbers(before, "descriptors") == numbers(after, "descriptors")
    growth = [after[pid].rss_kib - middle[pid].rss_kib for pid in after]
    memory = [f"{mebibytes(moment, 'rss_kib')}" for moment in (before, middle, after)]
    pss = [sum(holding.pss_kib for holding in moment.values()) / 1024 for moment in (before, after)]
    return [
        Outcome(f"{numbers(before, 'descriptors')} → {numbers(after, 'descriptors')}", judge(same)),
        Outcome(
            f"RSS {' → '.join(memory)} MiB; PSS of all {pss[0]:.1f} → {pss[1]:.1f} MiB",
            judge(max(growth) <= FLAT_KIB),
        ),
    ]


def in_two_halves(server: Server, warm_up: Callable[[], None], half: Callable[[], None]) -> list[Outcome]:
    """Warm up, then do the work twice, with a look before, between and after."""
    warm_up()
    time.sleep(3.0)
    before = snapshot(server)
    half()
    middle = settled(server, before)
    half()
    return describe(before, middle, settled(server, before))


def connections(side: Side, options: Options) -> list[Outcome]:
    """100 000 connections of one request each."""
    half = options.scaled(50_000, 5_000)

    def connect(number: int) -> None:
        bodies = many_requests(server.port, number, "/", clients=8, limit=180.0)
        answered = sum(body.isdigit() for body in bodies)
        if answered != number:
            raise BenchError(f"{answered} of {number} connections answered")
        progress(f"    {number} connections")

    with Server(side, WORKERS) as server:
        return in_two_halves(server, lambda: connect(2000), lambda: connect(half))


def messages(side: Side, options: Options) -> list[Outcome]:
    """100 000 messages to the primary and as many echoes back."""
    if side != OURS:
        return [Outcome(NOTHING), Outcome(NOTHING)]
    half = options.scaled(50_000, 5_000)

    def exchange(number: int) -> None:
        path = f"/messages/{MESSAGES_PER_REQUEST}"
        began = time.monotonic()
        bodies = many_requests(server.port, number // MESSAGES_PER_REQUEST, path, clients=4, limit=180.0)
        echoed = sum(int(body) for body in bodies if body.isdigit())
        if echoed != number:
            raise BenchError(f"{echoed} of {number} messages came back")
        progress(f"    {number} messages there and back in {time.monotonic() - began:.1f} s")

    with Server(side, WORKERS, app="messages:app") as server:
        return in_two_halves(server, lambda: exchange(4000), lambda: exchange(half))


def measure_connections(options: Options) -> list[Row]:
    number = f"{options.scaled(100_000, 10_000):,}".replace(",", " ")
    return each_side(
        [
            (f"open descriptors (primary/workers) after {number} connections", "the same"),
            ("memory: before → half → all of them", "flat: ≤ 1 MiB from half to all"),
        ],
        connections,
        options,
    )


def measure_messages(options: Options) -> list[Row]:
    number = f"{options.scaled(100_000, 10_000):,}".replace(",", " ")
    return each_side(
        [
            (f"open descriptors (primary/workers) after {number} messages, echoed", "the same"),
            ("memory: before → half → all of them", "flat: ≤ 1 MiB from half to all"),
        ],
        messages,
        options,
    )


FIGURES = [Figure("leak-connections", measure_connections), Figure("leak-messages", measure_messages)]
