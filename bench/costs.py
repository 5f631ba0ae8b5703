"""Where the time goes: `python3 bench/costs.py`, as root or with the right to trace one's own processes.

Starts ours with two workers, loads it with wrk, and prints for keep-alive requests and for a connection per request,
and then for messages that go to a worker and back, one at a time and each as small as in `peers/messages.py`,

* the system calls of the primary and of the workers, for each (strace);
* their CPU time for each, and how much of it is the kernel's (/proc);
* the share that each function has itself, without what it calls, of the time outside of the event loop (py-spy).

strace slows a process down, so it is used for counting only.  The event loop is left out because py-spy cannot tell the
loop's work from its waiting for a core; a process that it looks at has one for itself, as far as there are two.
"""

from __future__ import annotations

import argparse
import os
import re
import shutil
import signal
import subprocess
import sys
import tempfile
import time
from collections import Counter
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from functools import partial
from pathlib import Path

import procfs
from comparison.contestants import HttpServer, Setup, http_server
from comparison.figures import OURS
from comparison.message_group import TRAFFIC, program, wait_for
from comparison.tools import Tools, find_wrk, prepare
from comparison.wrk import CLOSE, Load, measure
from figures import progress
from sessions import START_SECONDS, BenchError, Session

CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$")
LOADS = {"keep-alive": Load(), "connection per request": Load(headers=(CLOSE,))}
LEAST_CALLS = 0.01
WAITING = ("Hub.run ", "EpollSelector.select ", "Loop.run_once ")
BUSY_CALLS = 0.5  # for each request; a process that makes fewer has no part in it
UNIT_CALL = "sendto"  # of a message: each side sends one for each round trip
ROUND_TRIPS = next(traffic for traffic in TRAFFIC if traffic.key == "round-trip")
FEW, MANY = 50_000, 100_000_000
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Part:
    """The primary, or the workers."""

    name: str
    pids: tuple[int, ...]


@contextmanager
def tracing(pids: Sequence[int], result: Path) -> Iterator[None]:
    """Count the system calls of these processes meanwhile."""
    arguments = [argument for pid in pids for argument in ("-p", str(pid))]
    tracer = subprocess.Popen(["strace", "-c", "-f", "-o", str(result), *arguments], stderr=subprocess.DEVNULL)
    try:
        yield
    finally:
        tracer.send_signal(signal.SIGINT)
        tracer.wait(10)


def calls_meanwhile(part: Part, work: Callable[[], int]) -> dict[str, float]:
    """System calls for each unit of the work, by name; those that failed (EAGAIN) are counted too.

    Work that cannot say how many units it did returns 0: then there is one `UNIT_CALL` for each.
    """
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "calls")
        with tracing(part.pids, result):
            units = work()
        found = [match for line in result.read_text().splitlines() if (match := CALL.match(line))]
    calls = {match[3]: int(match[1]) for match in found if match[3] != "total"}
    return {name: number / (units or calls[UNIT_CALL]) for name, number in calls.items()}


@contextmanager
def core_for_itself(server: Session, pid: int) -> Iterator[None]:
    """Move everything else of the server, and what we start, off the last core; where there is one core, nothing."""
    cores = os.sched_getaffinity(0)
    own = {max(cores)}
    others = cores - own or own
    everybody = [0, *(process.pid for process in procfs.session_members(server.pid))]
    for one in everybody:
        os.sched_setaffinity(one, own if one == pid else others)
    try:
        yield
    finally:
        for one in everybody:
            os.sched_setaffinity(one, cores)


def cpu_meanwhile(part: Part, work: Callable[[], int]) -> tuple[float, float]:
    """Microseconds of CPU for each unit of the work: all of it, and the kernel's part."""
    before = [procfs.user_and_kernel_seconds(pid) for pid in part.pids]
    units = work()
    after = [procfs.user_and_kernel_seconds(pid) for pid in part.pids]
    user = sum(last[0] - first[0] for first, last in zip(before, after, strict=True))
    kernel = sum(last[1] - first[1] for first, last in zip(before, after, strict=True))
    return (user + kernel) * 1e6 / units, kernel * 1e6 / units


def shares(tools: Tools, server: Session, pid: int, work: Callable[[], int], seconds: int) -> list[tuple[str, float]]:
    """The share that each function has itself of the time outside of the event loop, largest first."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "stacks")
        command = [tools.script("py-spy"), "record", "-p", str(pid), "-d", str(seconds), "-r", "400"]
        spy = subprocess.Popen(
            [*command, "-F", "-f", "raw", "-o", str(result)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with core_for_itself(server, pid):
            work()
        if spy.wait(30) != 0:
            raise BenchError("py-spy gave no result: it needs the right to trace (root, or ptrace_scope 0)")
        own: Counter[str] = Counter()
        for line in result.read_text().splitlines():
            stack, _, count = line.rpartition(" ")
            function = stack.rpartition(";")[2].strip()
            if function and not function.startswith(WAITING):
                own[function] += int(count)
    total = sum(own.values()) or 1
    return [(name, count / total) for name, count in own.most_common()]


def print_calls(title: str, calls: dict[str, float], unit: str) -> None:
    ordered = sorted(calls.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {number:.2f}" for name, number in ordered if number >= LEAST_CALLS)
    print(f"{title}: {sum(calls.values()):.2f} system calls per {unit}: {named}")


def print_shares(title: str, found: list[tuple[str, float]], rows: int) -> None:
    print(f"\n{title}: own time, outside of the event loop\n")
    for name, share in found[:rows]:
        print(f"  {share:6.1%}  {name}")
    print()


def print_cpu(title: str, total: float, kernel: float, unit: str) -> None:
    print(f"{title}: {total:.0f} µs of CPU per {unit}, {kernel:.0f} µs of it in the kernel")


def print_requests(tools: Tools, given: argparse.Namespace) -> None:
    """Both kinds of load."""
    with http_server(OURS, tools, Setup()) as server:
        parts = (Part("primary", (server.pid,)), Part("workers", tuple(server.workers())))
        for name, load in LOADS.items():
            progress(f"{name} ...")
            print(f"\n{name}\n")
            work = partial(requests_of, server, load, given.seconds)
            for part in parts:
                calls = calls_meanwhile(part, work)
                print_calls(part.name, calls, "request")
                if sum(calls.values()) > BUSY_CALLS:
                    print_cpu(part.name, *cpu_meanwhile(part, work), "request")
                    longer = partial(requests_of, server, load, given.seconds + 1)
                    print_shares(part.name, shares(tools, server, part.pids[0], longer, given.seconds), given.rows)


def requests_of(server: HttpServer, load: Load, seconds: int) -> int:
    """Load the server; return how many requests it has answered."""
    return measure(server, load, seconds).requests


def print_messages(tools: Tools, given: argparse.Namespace) -> None:
    """Round trips.  They go on while they are looked at; their CPU time is that of a number of them, first to last."""
    progress("messages ...")
    print("\nmessages, to a worker and back\n")

    def wait(seconds: int) -> int:
        time.sleep(seconds)
        return 0

    for name in ("primary", "worker"):
        with program(OURS, tools, ROUND_TRIPS, FEW) as session:
            wait_for(session, "begin", START_SECONDS)
            cpu = cpu_meanwhile(part_of(session, name), partial(round_trips, session))
        with program(OURS, tools, ROUND_TRIPS, MANY) as session:
            wait_for(session, "begin", START_SECONDS)
            part = part_of(session, name)
            print_calls(name, calls_meanwhile(part, partial(wait, given.seconds)), "round trip")
            print_cpu(name, *cpu, "round trip")
            work = partial(wait, given.seconds + 1)
            print_shares(name, shares(tools, session, part.pids[0], work, given.seconds), given.rows)


def part_of(session: Session, name: str) -> Part:
    return Part(name, (session.pid,) if name == "primary" else tuple(session.workers()))


def round_trips(session: Session) -> int:
    """Wait for the last of the few."""
    wait_for(session, "end", PATIENCE_SECONDS)
    return FEW


def main() -> int:
    parser = argparse.ArgumentParser(description="Show where the time of a request, a connection and a message goes.")
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rows", type=int, default=12, help="functions of each process")
    parser.add_argument("--here", action="store_true", help="use the running interpreter's packages, install none")
    given = parser.parse_args()
    try:
        find_wrk(install=False)
        if shutil.which("strace") is None:
            raise BenchError("strace is not installed: on Debian and Ubuntu 'apt-get install strace'")
        tools = prepare((OURS,), here=given.here)
        print_requests(tools, given)
        print_messages(tools, given)
    except BenchError as error:
        progress(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
