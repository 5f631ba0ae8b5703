"""What grows: thousands of open connections, more workers."""

from __future__ import annotations

import resource
import socket
from collections.abc import Mapping
from contextlib import ExitStack
from dataclasses import dataclass

from load import HOST
from sessions import BenchError

from comparison.contestants import HttpServer, Setup, http_server
from comparison.figures import NODE20, OURS, STOCK, Line
from comparison.groups import Group, Run
from comparison.http_groups import Pick, line
from comparison.rounds import alternate
from comparison.wrk import CLOSE, Load, Sample, measure

KEEP_ALIVE_SECONDS = 600
REQUEST = b"GET / HTTP/1.1\r\nHost: localhost\r\n\r\n"
ROUND_SECONDS = 2
SPARE_DESCRIPTORS = 200


@dataclass(frozen=True)
class Contestant:
    """A side with a size: open connections, or workers."""

    side: str
    size: int


Samples = Mapping[Contestant, list[Sample]]


def line_of_size(
    key: str, title: str, unit: str, pick: Pick[Sample], samples: Samples, size: int, **kind: bool
) -> Line:
    """The figures of all sides at one size."""
    of_size = {contestant.side: some for contestant, some in samples.items() if contestant.size == size}
    return line(f"{key}-{size}", title, unit, pick, of_size, **kind)


def allow_descriptors(number: int) -> None:
    """Raise this process's limit as far as needed; the servers inherit it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_NOFILE)
    if soft < number <= hard or (soft < number and hard == resource.RLIM_INFINITY):
        resource.setrlimit(resource.RLIMIT_NOFILE, (number, hard))
    elif soft < number:
        raise BenchError(f"{number} open files are needed, the limit is {hard}: ulimit -n")


def hold(port: int, number: int) -> list[socket.socket]:
    """Open connections that have had one answer each and stay open."""
    held = []
    for _ in range(number):
        client = socket.create_connection((HOST, port), 10.0)
        client.sendall(REQUEST)
        held.append(client)
        if b"\r\n\r\n" not in client.recv(65536):
            raise BenchError("an answer came in pieces")
    return held


def let_go(held: list[socket.socket]) -> None:
    for client in held:
        client.close()


def open_contestants(run: Run, stack: ExitStack) -> dict[Contestant, HttpServer]:
    """A server for each side and number of idle connections, with these connections."""
    few, many = 10, run.scaled(5000, 100)
    sides = run.among(OURS, STOCK, NODE20)
    allow_descriptors(len(sides) * (few + many) + SPARE_DESCRIPTORS)
    servers = {}
    for contestant in [Contestant(side, size) for side in sides for size in (few, many)]:
        setup = Setup(keep_alive_seconds=KEEP_ALIVE_SECONDS)
        server = stack.enter_context(http_server(contestant.side, run.tools, setup))
        stack.callback(let_go, hold(server.port, contestant.size))
        servers[contestant] = server
    return servers


def sample_sizes(servers: Mapping[Contestant, HttpServer], load: Load, run: Run) -> Samples:
    """One round each that does not count, then alternating rounds."""
    for server in servers.values():
        measure(server, load, 1)
    seconds = run.seconds(ROUND_SECONDS)
    return alternate(list(servers), lambda contestant: measure(servers[contestant], load, seconds), run.rounds)


def measure_open(run: Run) -> list[Line]:
    """What a request and a connection cost while few or many other connections are open and idle."""
    lines: list[Line] = []
    with ExitStack() as stack:
        servers = open_contestants(run, stack)
        for key, what, headers in (("request", "request", ()), ("connection", "connection", (CLOSE,))):
            samples = sample_sizes(servers, Load(headers=headers), run)
            for size in sorted({contestant.size for contestant in servers}):
                name = f"open/{key}"
                title = f"{size} idle connections open: {what}s per second"
                lines.append(
                    line_of_size(f"{name}-rate", title, "1/s", lambda one: one.rate, samples, size, more_is_better=True)
                )
                title = f"{size} idle connections open: CPU per {what}"
                lines.append(line_of_size(name, title, "µs", lambda one: one.cpu, samples, size))
    return lines


def measure_workers(run: Run) -> list[Line]:
    """What a connection costs with more and more workers."""
    sizes = (1, 2, 4, 8, 16) if not run.quick else (2, 4)
    wanted = [
        Contestant(side, size) for side in run.among(OURS, NODE20) for size in sizes if side == OURS or size in {2, 16}
    ]
    lines: list[Line] = []
    with ExitStack() as stack:
        servers = {
            one: stack.enter_context(http_server(one.side, run.tools, Setup(workers=one.size))) for one in wanted
        }
        samples = sample_sizes(servers, Load(headers=(CLOSE,)), run)
    for size in sizes:
        workers = f"{size} workers" if size > 1 else "1 worker"
        lines += [
            line_of_size(
                "workers/rate",
                f"{workers}: connections per second",
                "1/s",
                lambda one: one.rate,
                samples,
                size,
                more_is_better=True,
            ),
            line_of_size("workers/cpu", f"{workers}: CPU per connection", "µs", lambda one: one.cpu, samples, size),
            line_of_size(
                "workers/primary", f"{workers}: CPU of the primary alone", "µs", lambda one: one.primary, samples, size
            ),
        ]
    return lines


GROUPS = [
    Group("open", "10 and 5 000 open connections", measure_open, needs_wrk=True),
    Group("workers", "1 to 16 workers, a connection for each request", measure_workers, needs_wrk=True),
]
