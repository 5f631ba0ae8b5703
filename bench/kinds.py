"""Measure the further kinds of workers beside the stock ones: `python bench/kinds.py --kind threads`, or `asgi`.

Prints a markdown table, one row for each target; progress goes to standard error. Exits with 1 if a target was missed.
Costs need wrk; they are CPU time of the whole process tree, in rounds that alternate between the two.
"""

from __future__ import annotations

import argparse
import compileall
import contextlib
import shutil
import signal
import statistics
import subprocess
import sys
import threading
import time
from collections import Counter
from collections.abc import Callable, Sequence

import procfs
from figures import MISSED, Options, judge, progress
from gunicorns import BenchError, Server, Side
from kind_losses import changes
from kind_sides import KIND, KINDS, OURS, STOCK, Row, server
from load import Connection, Load, get_once
from serve import describe_machine
from sessions import HERE

CLOSE = ("-H", "Connection: close")
MORE_MIB = 3.0


# --- costs ---------------------------------------------------------------------------------------


def cost(of: Server, seconds: float, *options: str) -> float:
    """Microseconds of CPU for a request, of the whole process tree."""
    before = procfs.session_cpu_seconds(of.pid)
    command = ["wrk", "-t1", "-c16", f"-d{seconds:g}s", f"http://127.0.0.1:{of.port}/", *options]
    said = subprocess.run(command, capture_output=True, text=True, check=True).stdout
    count = int(next(line for line in said.splitlines() if "requests in" in line).split()[0])
    return (procfs.session_cpu_seconds(of.pid) - before) / count * 1e6


def costs(options: Options) -> list[Row]:
    """What a request costs, kept alive and with a connection of its own."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed: apt-get install wrk")
    rounds = options.scaled(15, 1)
    rows = []
    with server(OURS, 1) as ours, server(STOCK, 1) as stock:
        for title, extra, most in (
            ("keep-alive", (), 1.05),
            ("a connection for each request", CLOSE, KIND.most_for_connections),
        ):
            found: dict[Server, list[float]] = {ours: [], stock: []}
            for number in range(rounds):
                for one in (ours, stock) if number % 2 else (stock, ours):
                    found[one].append(cost(one, 1.0, *extra))
            ratio = statistics.median(mine / theirs for mine, theirs in zip(found[ours], found[stock], strict=True))
            mine, theirs = (f"{statistics.median(found[one]):.0f} µs" for one in (ours, stock))
            target = f"at most {most:g} of stock"
            rows.append(
                Row(f"CPU for a request, {title}", f"{mine}, {ratio:.2f}", theirs, target, judge(ratio <= most))
            )
    return rows


def memory(options: Options) -> list[Row]:
    """What primary and worker hold when their threads have served."""
    held = {}
    for side in (OURS, STOCK):
        with server(side, 1) as one, Load(one.port, 16, keep_alive=True):
            time.sleep(options.scaled(3, 1))
            (worker,) = one.workers()
            held[side] = [procfs.holdings(pid).pss_kib / 1024 for pid in (one.pid, worker)]
    rows = []
    for index, name in enumerate(("primary", "worker")):
        mine, theirs = held[OURS][index], held[STOCK][index]
        verdict = judge(mine <= theirs + MORE_MIB)
        rows.append(Row(f"PSS of a {name}", f"{mine:.1f} MiB", f"{theirs:.1f} MiB", "at most 3 MiB more", verdict))
    return rows


# --- who is served -------------------------------------------------------------------------------


def spread(options: Options) -> list[Row]:
    """Thirty connections at once over three workers."""
    counts: dict[Side, list[list[int]]] = {OURS: [], STOCK: []}
    for side, found in counts.items():
        with server(side, 3, *KIND.many) as one:
            for _ in range(options.scaled(5, 1)):
                pids = together(one, ["/sleep/0.3"] * 30)
                found.append(sorted([*Counter(pids).values(), *[0] * (3 - len(set(pids)))]))
    verdict = judge(all(9 <= count <= 11 for round_ in counts[OURS] for count in round_))
    mine, theirs = ("; ".join("/".join(map(str, one)) for one in counts[side]) for side in (OURS, STOCK))
    return [Row("30 connections at once over 3 workers", mine, theirs, "10 each, one more or less", verdict)]


def late(options: Options) -> list[Row]:
    """Four workers with one thread, three slow requests, twenty quick ones."""
    found: dict[Side, list[int]] = {OURS: [], STOCK: []}
    for side, counts in found.items():
        with server(side, 4, "--threads", "1") as one:
            for _ in range(options.scaled(3, 1)):
                with contextlib.ExitStack() as stack:
                    slow = [threading.Thread(target=get_once, args=(one.port, "/sleep/2")) for _ in range(3)]
                    for thread in slow:
                        thread.start()
                        stack.callback(thread.join)
                    time.sleep(0.3)
                    counts.append(sum(seconds > 0.5 for seconds in durations(one, 20)))
    verdict = judge(not any(found[OURS]))
    mine, theirs = (", ".join(map(str, found[side])) for side in (OURS, STOCK))
    return [Row("4 workers with 1 thread, 3 slow requests: of 20 quick ones late", mine, theirs, "0", verdict)]


def together(one: Server, paths: Sequence[str]) -> list[str]:
    """Ask on so many connections at once; who answered."""
    answers: list[str] = []

    def ask(path: str) -> None:
        answers.append(get_once(one.port, path).body.decode())

    run_all([threading.Thread(target=ask, args=(path,)) for path in paths])
    return answers


def durations(one: Server, count: int) -> list[float]:
    """How long so many requests took that were made at once."""
    took: list[float] = []

    def ask() -> None:
        began = time.monotonic()
        get_once(one.port)
        took.append(time.monotonic() - began)

    run_all([threading.Thread(target=ask) for _ in range(count)])
    return took


def run_all(threads: Sequence[threading.Thread]) -> None:
    """Begin all of them, and wait for them."""
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()


# --- the end -------------------------------------------------------------------------------------


def ends(options: Options) -> list[Row]:
    """TERM with idle clients that were promised 20 seconds."""
    took: dict[Side, list[float]] = {OURS: [], STOCK: []}
    for side, found in took.items():
        for _ in range(options.scaled(3, 1)):
            with (
                server(side, 2, "--keep-alive", "20", "--graceful-timeout", "15") as one,
                contextlib.ExitStack() as stack,
            ):
                for client in [stack.enter_context(Connection(one.port)) for _ in range(6)]:
                    client.get("/")
                time.sleep(1.0)
                began = time.monotonic()
                one.send_signal(signal.SIGTERM)
                while not one.has_ended():
                    time.sleep(0.01)
                found.append(time.monotonic() - began)
    verdict = judge(all(seconds <= 1 for seconds in took[OURS]))
    mine, theirs = (", ".join(f"{seconds:.2f} s" for seconds in took[side]) for side in (OURS, STOCK))
    return [Row("TERM with 6 idle clients, `keepalive = 20`", mine, theirs, "within 1 s", verdict)]


GROUPS: dict[str, Callable[[Options], list[Row]]] = {
    "costs": costs,
    "memory": memory,
    "spread": spread,
    **({"late": late} if KIND is KINDS["threads"] else {}),  # a loop is never full
    "changes": changes,
    "ends": ends,
}


def main() -> int:
    parser = argparse.ArgumentParser(description="Measure the further kinds of workers beside the stock ones.")
    parser.add_argument("--kind", choices=sorted(KINDS), default="threads", help="of workers")
    parser.add_argument("--only", metavar="NAME,...", default=",".join(GROUPS), help="of: " + ", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a smoke test")
    given = parser.parse_args()
    options = Options(given.quick, (OURS, STOCK))
    # As what pip installs: what Python compiles at the start would be in the memory that is measured.
    compileall.compile_dir(HERE.parent / "nodecluster_compat", quiet=1)
    rows: list[Row] = []
    for name in given.only.split(","):
        if name not in GROUPS:
            parser.error(f"{name!r} is none of {', '.join(GROUPS)}")
        began = time.monotonic()
        rows += GROUPS[name](options)
        progress(f"{name}: {time.monotonic() - began:.0f} s")
    print(f"\n{describe_machine(options)}\n")
    print(f"| {given.kind} | ours | stock `-k {STOCK.worker_class}` | target | |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")
    return int(any(row.verdict == MISSED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
