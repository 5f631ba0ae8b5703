"""Ask whether round robin is exact on an overloaded machine: `python bench/overloaded.py`.

Each run holds 160 connections that 8 workers serve, none of them slow, beside busy loops that take the processors:
each worker is to have 20.  The connections of a run come one after another, in groups, or all at once, in turn; each
run has a server of its own.  Prints a markdown table, and each run that went wrong; exits with 1 if one did.

What is counted is who answered.  Linux shares processors out among sessions: each loop is a session of its own, and so
are the server and this script.
"""

from __future__ import annotations

import argparse
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass

from figures import MISSED, judge, progress
from gunicorns import OURS, Server
from load import Connection
from serve import interrupt

HELD = 160
WORKERS = 8
GROUPS = {"one after another": 1, "8 at once": 8, "40 at once": 40, "all at once": HELD}
LOOP = "while True: pass"
PATIENCE_SECONDS = 120.0


@dataclass(frozen=True)
class Held:
    """One run: how the connections came, who has how many, and for how long it took."""

    way: str
    counts: tuple[int, ...]
    seconds: float

    @property
    def is_exact(self) -> bool:
        return self.counts == (HELD // WORKERS,) * WORKERS


@contextmanager
def busy_loops(count: int) -> Iterator[None]:
    """So many programs that compute."""
    loops = [subprocess.Popen([sys.executable, "-c", LOOP], start_new_session=True) for _ in range(count)]
    try:
        yield
    finally:
        for loop in loops:
            loop.kill()
            loop.wait()


def hold(port: int, group: int) -> tuple[list[Connection], list[bytes]]:
    """Open all connections, so many before the first of them sends a request; return them, and who answered."""
    connections, served_by = [], []
    for _ in range(HELD // group):
        arrived = [Connection(port, PATIENCE_SECONDS) for _ in range(group)]
        served_by += [connection.get("/").body for connection in arrived]
        connections += arrived
    return connections, served_by


def run(way: str, loops: int) -> Held:
    """Hold the connections of one run."""
    with Server(OURS, WORKERS, "--keep-alive", "600", "--timeout", "600") as server, busy_loops(loops):
        began = time.monotonic()
        connections, served_by = hold(server.port, GROUPS[way])
        seconds = time.monotonic() - began
        for connection in connections:
            connection.close()
    held = sorted(Counter(served_by).values())
    return Held(way, (*[0] * (WORKERS - len(held)), *held), seconds)


def runs(count: int, ways: Sequence[str], loops: int) -> Iterator[Held]:
    """So many runs, each with the next way."""
    for number in range(count):
        one = run(ways[number % len(ways)], loops)
        progress(f"  {number + 1}: {one.way}, {one.seconds:.1f} s" + ("" if one.is_exact else f": {one.counts}"))
        yield one


def print_table(done: Sequence[Held]) -> bool:
    """Print what the runs came to; return whether all were exact."""
    print("| 160 connections over 8 workers | runs | not 20 each | fewest, most of one worker | seconds of a run | |")
    print("|---|---|---|---|---|---|")
    for way in GROUPS:
        some = [one for one in done if one.way == way]
        if some:
            wrong = sum(not one.is_exact for one in some)
            fewest, most = min(min(one.counts) for one in some), max(max(one.counts) for one in some)
            times = f"{min(one.seconds for one in some):.1f} to {max(one.seconds for one in some):.1f}"
            print(f"| {way} | {len(some)} | {wrong} | {fewest}, {most} | {times} | {judge(not wrong)} |")
    return all(one.is_exact for one in done)


def main() -> int:
    parser = argparse.ArgumentParser(description="Is round robin exact on an overloaded machine?")
    parser.add_argument("--runs", type=int, default=120)
    parser.add_argument("--loops", type=int, default=3 * (os.cpu_count() or 1), help="programs that compute meanwhile")
    parser.add_argument("--ways", nargs="+", choices=GROUPS, default=list(GROUPS))
    given = parser.parse_args()
    signal.signal(signal.SIGTERM, interrupt)  # the loops and the server end with it
    done = list(runs(given.runs, given.ways, given.loops))
    is_exact = print_table(done)
    print(f"\n{len(done)} runs, {given.loops} loops, {os.cpu_count()} processors: {'met' if is_exact else MISSED}")
    return int(not is_exact)


if __name__ == "__main__":
    sys.exit(main())
