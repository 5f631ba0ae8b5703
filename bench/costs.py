"""Where the time goes: `python3 bench/costs.py`, as root or with the right to trace one's own processes.

Starts ours with two workers, loads it with wrk, and prints for keep-alive requests and for a connection per request

* the system calls of the primary and of the workers, for each request (strace);
* their CPU time for each request, and how much of it is the kernel's (/proc);
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
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

import procfs
from comparison.contestants import HttpServer, Setup, http_server
from comparison.figures import OURS
from comparison.tools import Tools, find_wrk, prepare
from comparison.wrk import CLOSE, Load, measure
from figures import progress
from sessions import BenchError

CALL = re.compile(r"^\s*[\d.]+\s+[\d.]+\s+\d+\s+(\d+)\s+(?:(\d+)\s+)?(\w+)$")
LOADS = {"keep-alive": Load(), "connection per request": Load(headers=(CLOSE,))}
LEAST_CALLS = 0.01
WAITING = ("Hub.run ", "EpollSelector.select ", "Loop.run_once ")
BUSY_CALLS = 0.5  # for each request; a process that makes fewer has no part in it


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


def calls_per_request(server: HttpServer, part: Part, load: Load, seconds: int) -> dict[str, float]:
    """System calls for each request, by name; those that failed (EAGAIN) are counted too."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "calls")
        with tracing(part.pids, result):
            requests = measure(server, load, seconds).requests
        found = [match for line in result.read_text().splitlines() if (match := CALL.match(line))]
    return {match[3]: int(match[1]) / requests for match in found if match[3] != "total"}


@contextmanager
def core_for_itself(server: HttpServer, pid: int) -> Iterator[None]:
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


def cpu_per_request(server: HttpServer, part: Part, load: Load, seconds: int) -> tuple[float, float]:
    """Microseconds of CPU for each request: all of it, and the kernel's part."""
    before = [procfs.user_and_kernel_seconds(pid) for pid in part.pids]
    requests = measure(server, load, seconds).requests
    after = [procfs.user_and_kernel_seconds(pid) for pid in part.pids]
    user = sum(last[0] - first[0] for first, last in zip(before, after, strict=True))
    kernel = sum(last[1] - first[1] for first, last in zip(before, after, strict=True))
    return (user + kernel) * 1e6 / requests, kernel * 1e6 / requests


def shares(tools: Tools, server: HttpServer, pid: int, load: Load, seconds: int) -> list[tuple[str, float]]:
    """The share that each function has itself of the time outside of the event loop, largest first."""
    with tempfile.TemporaryDirectory() as folder:
        result = Path(folder, "stacks")
        command = [tools.script("py-spy"), "record", "-p", str(pid), "-d", str(seconds), "-r", "400"]
        spy = subprocess.Popen(
            [*command, "-F", "-f", "raw", "-o", str(result)], stdout=subprocess.DEVNULL, stderr=subprocess.DEVNULL
        )
        with core_for_itself(server, pid):
            measure(server, load, seconds + 1)
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


def print_calls(title: str, calls: dict[str, float]) -> None:
    ordered = sorted(calls.items(), key=lambda item: -item[1])
    named = ", ".join(f"{name} {number:.2f}" for name, number in ordered if number >= LEAST_CALLS)
    print(f"{title}: {sum(calls.values()):.2f} system calls per request: {named}")


def print_shares(title: str, found: list[tuple[str, float]], rows: int) -> None:
    print(f"\n{title}: own time, outside of the event loop\n")
    for name, share in found[:rows]:
        print(f"  {share:6.1%}  {name}")
    print()


def main() -> int:
    parser = argparse.ArgumentParser(description="Show where the time of a request and of a connection goes.")
    parser.add_argument("--seconds", type=int, default=8, help="of each measurement")
    parser.add_argument("--rows", type=int, default=12, help="functions of each process")
    parser.add_argument("--here", action="store_true", help="use the running interpreter's packages, install none")
    given = parser.parse_args()
    try:
        find_wrk(install=False)
        if shutil.which("strace") is None:
            raise BenchError("strace is not installed: on Debian and Ubuntu 'apt-get install strace'")
        tools = prepare((OURS,), here=given.here)
        with http_server(OURS, tools, Setup()) as server:
            workers = tuple(server.workers())
            parts = (Part("primary", (server.pid,)), Part("workers", workers))
            for name, load in LOADS.items():
                progress(f"{name} ...")
                print(f"\n{name}\n")
                for part in parts:
                    calls = calls_per_request(server, part, load, given.seconds)
                    print_calls(part.name, calls)
                    if sum(calls.values()) > BUSY_CALLS:
                        total, kernel = cpu_per_request(server, part, load, given.seconds)
                        print(f"{part.name}: {total:.0f} µs of CPU per request, {kernel:.0f} µs of it in the kernel")
                        print_shares(part.name, shares(tools, server, part.pids[0], load, given.seconds), given.rows)
    except BenchError as error:
        progress(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
