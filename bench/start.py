"""Where the time from fork to listening goes, and what a worker has to itself: `python3 bench/start.py`.

Prints for ours and for stock `-k gevent`, preloaded

* clock and CPU time of a worker from the fork to the hook `post_fork`, to `post_worker_init`, and to `listening`;
* what one of eight workers has to itself after some requests, by kind of mapping (/proc/<pid>/smaps);

and what a fork of the same interpreter costs at least: `peers/forked.py`.
"""

from __future__ import annotations

import argparse
import os
import signal
import statistics
import subprocess
import sys
import time
from collections import Counter
from dataclasses import dataclass
from pathlib import Path

import procfs
from comparison.contestants import HttpServer, Setup, http_server, python_path
from comparison.figures import OURS, STOCK
from comparison.tools import PEERS, Tools, prepare
from figures import progress
from load import get_once
from sessions import BenchError

STEPS = {OURS: ("forked", "booted", "listening"), STOCK: ("forked", "listening")}
WORDS = {"forked": "to post_fork", "booted": "to post_worker_init", "listening": "to listening"}
STAGES = {
    "fork": "a fork of an interpreter that has imported nothing",
    "imported": "with all that a worker needs imported before",
    "hub": "whose child runs gevent's hub",
    "patched": "whose child is patched as well",
}
WORKERS = 8
REQUESTS = 200
PATIENCE_SECONDS = 20.0


@dataclass(frozen=True)
class Moment:
    """Milliseconds since the fork, by the clock and of the worker's CPU."""

    clock: float
    cpu: float


def moments(server: HttpServer) -> dict[str, Moment]:
    """Kill the only worker, and watch its successor come."""
    (victim,) = server.workers()
    killed = time.monotonic()
    os.kill(victim, signal.SIGKILL)
    server.wait_for_listening(1, killed, PATIENCE_SECONDS)
    (successor,) = server.workers()
    events = {event["event"]: event for event in server.events(killed)}
    began = events["forking"]["time"]
    cpu = {name: event["cpu"] for name, event in events.items() if "cpu" in event}
    cpu.setdefault("listening", procfs.exact_cpu_seconds(successor))
    steps = [name for name in WORDS if name in events and name in cpu]
    return {name: Moment((events[name]["time"] - began) * 1000, cpu[name] * 1000) for name in steps}


def print_times(side: str, tools: Tools, rounds: int) -> None:
    with http_server(side, tools, Setup(workers=1, preload=True)) as server:
        samples = [moments(server) for _ in range(rounds)]
    print(f"\n{side}: from the fork, medians of {rounds}\n")
    for step in STEPS[side]:
        clock = statistics.median(sample[step].clock for sample in samples)
        cpu = statistics.median(sample[step].cpu for sample in samples)
        print(f"  {WORDS[step]:20} {clock:6.1f} ms by the clock  {cpu:6.1f} ms of CPU")


def kind_of(name: str) -> str:
    if name.startswith("/"):
        return "data of libraries and of Python"
    return {"[heap]": "malloc", "[stack]": "stack"}.get(name, "objects and other anonymous memory")


def private_kib(pid: int) -> Counter[str]:
    """What a process has to itself, by kind of mapping."""
    found: Counter[str] = Counter()
    kind = ""
    for line in Path(f"/proc/{pid}/smaps").read_text().splitlines():
        key, _, rest = line.partition(" ")
        if not key.endswith(":"):
            fields = rest.split(maxsplit=4)
            kind = kind_of(fields[4] if len(fields) > 4 else "")
        elif key in ("Private_Dirty:", "Private_Clean:"):
            found[kind] += int(rest.split()[0])
    return found


def print_memory(side: str, tools: Tools) -> None:
    with http_server(side, tools, Setup(workers=WORKERS, preload=True)) as server:
        for _ in range(REQUESTS):
            get_once(server.port, "/")
        found = private_kib(server.workers()[WORKERS // 2])
    print(f"\n{side}: one of {WORKERS} workers has to itself {sum(found.values()) / 1024:.2f} MiB\n")
    for kind, kib in found.most_common():
        print(f"  {kib / 1024:6.2f} MiB  {kind}")


def print_floor(tools: Tools) -> None:
    print("\nat least\n")
    for stage, words in STAGES.items():
        command = [str(tools.python), str(PEERS / "forked.py"), stage]
        kib = int(subprocess.run(command, env={**os.environ, **python_path()}, capture_output=True, check=True).stdout)
        print(f"  {kib / 1024:6.2f} MiB  {words}")


def main() -> int:
    parser = argparse.ArgumentParser(
        description="Show what the start of a worker costs, and what memory it does not share."
    )
    parser.add_argument("--rounds", type=int, default=15, help="workers that are started of each side")
    parser.add_argument("--here", action="store_true", help="use the running interpreter's packages, install none")
    given = parser.parse_args()
    os.environ["BENCH_PHASES"] = "1"
    try:
        tools = prepare((OURS, STOCK), here=given.here)
        for side in (OURS, STOCK):
            progress(f"{side} ...")
            print_times(side, tools, given.rounds)
            print_memory(side, tools)
        print_floor(tools)
    except (BenchError, OSError, subprocess.CalledProcessError) as error:
        progress(str(error))
        return 1
    return 0


if __name__ == "__main__":
    sys.exit(main())
