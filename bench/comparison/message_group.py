"""Messages between primary and workers: `peers/messages.js` on Node, `peers/messages.py` in script mode here."""

from __future__ import annotations

import time
from dataclasses import dataclass

import procfs
from sessions import START_SECONDS, BenchError, Session

from comparison.contestants import node_program, python_path
from comparison.figures import NODE20, NODE24, NODES, OURS, Line
from comparison.groups import Group, Run
from comparison.rounds import in_sets
from comparison.tools import PEERS, Tools


@dataclass(frozen=True)
class Traffic:
    """One way of sending messages.

    Attributes:
        key: ends the keys of its lines.
        kind: the argument of the programs.
        title: of its lines.
        unit: what is counted.
        count: how many a round has; the first round of a program warms it up.
        quick_count: the same in a quick run.
        workers: how many the program forks.
        times: how many of the unit each of `count` is.
    """

    key: str
    kind: str
    title: str
    unit: str
    count: int
    quick_count: int
    workers: int = 1
    times: int = 1


TRAFFIC = (
    Traffic("one-way", "one-way", "messages one way, worker to primary", "messages", 60_000, 2000),
    Traffic("round-trip", "round-trip", "round trips, one at a time", "round trips", 6000, 500),
    Traffic("large", "large", "echoes of 1 MiB, one at a time", "MiB", 30, 5),
    Traffic("broadcast", "broadcast", "broadcast to 8 workers", "messages", 5000, 200, workers=8, times=8),
)


@dataclass(frozen=True)
class MessageSample:
    """One round: units per second, and microseconds of CPU of all processes for each."""

    rate: float
    cpu: float


def program(side: str, tools: Tools, traffic: Traffic, count: int, rounds: int) -> Session:
    """The program that sends and counts; it stays after it has said the last `end`, until it is ended."""
    arguments = [traffic.kind, str(count), str(traffic.workers), str(rounds)]
    if side in NODES:
        return Session([node_program(side, tools), str(PEERS / "messages.js"), *arguments], {}, 0)
    command = [str(tools.python), "-m", "nodecluster_compat", str(PEERS / "messages.py"), *arguments]
    return Session(command, python_path(), 0)


def wait_for(session: Session, name: str, index: int, limit: float) -> dict[str, float]:
    """The event of this name and round."""
    deadline = time.monotonic() + limit
    while True:
        found = [event for event in session.events() if event["event"] == name]
        if len(found) > index:
            return found[index]
        if session.has_ended() or time.monotonic() > deadline:
            raise BenchError(f"no {name!r} within {limit:.0f} s: {session.last_log_line()}")
        time.sleep(0.01)


def measure_round(session: Session, index: int, units: int) -> MessageSample:
    """Between the `begin` and the `end` of one round."""
    wait_for(session, "begin", index, START_SECONDS)
    before = procfs.exact_session_cpu_seconds(session.pid)
    end = wait_for(session, "end", index, START_SECONDS)
    used = procfs.exact_session_cpu_seconds(session.pid) - before
    return MessageSample(units / end["seconds"], used * 1e6 / units)


def measure_start(side: str, run: Run, traffic: Traffic) -> list[MessageSample]:
    """Start the program, and measure its rounds but the first."""
    count, rounds = run.scaled(traffic.count, traffic.quick_count), 1 + run.rounds_of_set
    with program(side, run.tools, traffic, count, rounds) as session:
        return [measure_round(session, index, count * traffic.times) for index in range(rounds)][1:]


def measure_traffic(traffic: Traffic, run: Run) -> list[Line]:
    """Two lines: how many per second, and the CPU time of each."""
    samples = in_sets(
        run.among(OURS, NODE20, NODE24),
        lambda sides: {side: measure_start(side, run, traffic) for side in sides},
        run.sets,
    )
    rates = {side: [one.rate for one in some] for side, some in samples.items()}
    costs = {side: [one.cpu for one in some] for side, some in samples.items()}
    key, unit, rounds = f"messages/{traffic.key}", f"{traffic.unit}/s", run.rounds_of_set
    return [
        Line(key, f"{traffic.title}: per second", unit, True, rates, rounds=rounds),
        Line(f"{key}-cpu", f"{traffic.title}: CPU of each", "µs", False, costs, rounds=rounds),
    ]


def measure(run: Run) -> list[Line]:
    """All kinds of traffic."""
    return [line for traffic in TRAFFIC for line in measure_traffic(traffic, run)]


GROUPS = [Group("messages", "messages", measure, in_sets=True)]
