"""Measure what routing and policies cost, and what they are good for: `python bench/routing.py`.

Prints a markdown table; progress goes to standard error.  Exits with 1 if a target was missed.
The servers of a comparison run side by side, and their rounds alternate.  The cost of a look is that of the primary,
in processor time, in the median of the rounds; of kept-alive requests, that of the workers in their best round, since
the difference is smaller than the noise.
"""

from __future__ import annotations

import itertools
import os
import socket
import statistics
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from figures import MISSED, Options, judge, parser_of, progress
from gunicorns import OURS, Server
from kinds import Row
from procfs import exact_cpu_seconds
from serve import describe_machine

SID: Final = "wGf0hLQyoVuhV3R6AAAA"
GET: Final = "GET {} HTTP/1.1\r\nHost: x\r\nConnection: {}\r\nUser-Agent: bench\r\nAccept: */*\r\n\r\n"
MOST_LOOK: Final = 1.15
MOST_KEPT: Final = 1.05  # the noise of a quiet machine
MOST_TAIL: Final = 0.8
BLOCK_SECONDS: Final = 0.05
SLOW_SHARE: Final = 10  # one of so many
ARRIVALS: Final = 100  # a second


@contextmanager
def served(workers: int, routing: str = "off", policy: str = "round_robin") -> Iterator[Server]:
    """A server with these settings."""
    os.environ |= {"NODECLUSTER_ROUTING": routing, "NODECLUSTER_POLICY": policy}
    try:
        with Server(OURS, workers) as server:
            yield server
    finally:
        for name in ("NODECLUSTER_ROUTING", "NODECLUSTER_POLICY"):
            os.environ.pop(name, None)


def ask_anew(port: int, request: bytes) -> None:
    """One request, on a connection of its own."""
    with socket.create_connection(("127.0.0.1", port), timeout=20) as client:
        client.sendall(request)
        while client.recv(65536):
            pass


def beside(count: int, threads: int, ask: Callable[[], None]) -> None:
    """Ask so many times, on several threads."""

    def work() -> None:
        for _ in range(count // threads):
            ask()

    running = [threading.Thread(target=work) for _ in range(threads)]
    for thread in running:
        thread.start()
    for thread in running:
        thread.join()


def looked(server: Server, target: str, count: int) -> float:
    """The primary's processor time for each connection, in µs."""
    requests = itertools.cycle([GET.format(target.format(worker), "close").encode() for worker in (1, 2, 3, 4)])
    before = exact_cpu_seconds(server.pid)
    beside(count, 4, lambda: ask_anew(server.port, next(requests)))
    return (exact_cpu_seconds(server.pid) - before) / count * 1e6


def kept(server: Server, count: int) -> float:
    """The workers' processor time for each request on one connection, in µs."""
    request = GET.format("/", "keep-alive").encode()
    before = sum(map(exact_cpu_seconds, server.workers()))
    with socket.create_connection(("127.0.0.1", server.port), timeout=20) as client:
        for _ in range(count):
            client.sendall(request)
            client.recv(65536)
    return (sum(map(exact_cpu_seconds, server.workers())) - before) / count * 1e6


def compared(
    one: Callable[[], float], other: Callable[[], float], rounds: int, best: Callable[[list[float]], float]
) -> tuple[float, float, float]:
    """What is typical of both (``best`` of their rounds), and its ratio; rounds alternate."""
    firsts, seconds = [], []
    for number in range(rounds):
        for measure, found in ((one, firsts), (other, seconds)) if number % 2 else ((other, seconds), (one, firsts)):
            found.append(measure())
    return best(firsts), best(seconds), best(firsts) / best(seconds)


def row(title: str, mine: float, theirs: float, ratio: float, most: float) -> Row:
    """One line of the costs."""
    return Row(title, f"{mine:.1f} µs, {ratio:.2f}", f"{theirs:.1f} µs", f"at most {most:g}", judge(ratio <= most))


def costs(options: Options) -> list[Row]:
    """A look at a connection, of this application and of another; and a request that is kept alive."""
    rows, rounds = [], options.scaled(11, 1)
    count = options.scaled(600, 100)
    with served(4, "socketio") as on, served(4) as off:
        targets = {"another application": "/", "of Socket.IO": f"/?EIO=4&transport=polling&sid={SID}.{{}}"}
        for title, target in targets.items():
            mine, theirs, ratio = compared(
                lambda target=target: looked(on, target, count),
                lambda target=target: looked(off, target, count),
                rounds,
                statistics.median,
            )
            rows.append(row(f"primary, a connection {title}", mine, theirs, ratio, MOST_LOOK))
        mine, theirs, ratio = compared(lambda: kept(on, 4 * count), lambda: kept(off, 4 * count), rounds, min)
        rows.append(row("worker, a request kept alive", mine, theirs, ratio, MOST_KEPT))
    return rows


def fast_tail(server: Server, seconds: float) -> float:
    """The p99 of fast requests beside slow ones that block their worker; arrivals do not wait for answers; in ms."""
    taken: list[float] = []

    def arrive(due: float, is_slow: bool) -> None:
        ask_anew(server.port, GET.format(f"/block/{BLOCK_SECONDS}" if is_slow else "/", "close").encode())
        if not is_slow:
            taken.append(time.monotonic() - due)

    began, running = time.monotonic(), []
    for number in range(int(seconds * ARRIVALS)):
        due = began + number / ARRIVALS
        time.sleep(max(0.0, due - time.monotonic()))
        thread = threading.Thread(target=arrive, args=(due, number % SLOW_SHARE == 0))
        thread.start()
        running.append(thread)
    for thread in running:
        thread.join()
    return statistics.quantiles(taken, n=100)[98] * 1000


def tails(options: Options) -> list[Row]:
    """Fast requests beside 10 % that block their worker for 50 ms."""
    rows = []
    seconds = options.scaled(8, 1)
    with served(4) as robin:
        for policy in ("least_connections", "random_of_two"):
            with served(4, policy=policy) as other:
                mine, theirs, ratio = compared(
                    lambda other=other: fast_tail(other, seconds),
                    lambda: fast_tail(robin, seconds),
                    options.scaled(5, 1),
                    statistics.median,
                )
            judged = policy == "least_connections"
            rows.append(
                Row(
                    f"p99 of fast requests, {policy}",
                    f"{mine:.1f} ms, {ratio:.2f}",
                    f"{theirs:.1f} ms",
                    "at most 0.8" if judged else "",
                    judge(ratio <= MOST_TAIL) if judged else "",
                )
            )
    return rows


PARTS: Final[dict[str, Callable[[Options], list[Row]]]] = {"costs": costs, "tails": tails}


def main() -> int:
    parser = parser_of("Measure what routing and policies cost, and what they are good for.")
    parser.add_argument("--only", choices=PARTS, help="one of the two parts")
    given = parser.parse_args()
    options = Options(given.quick, (OURS,))
    progress(describe_machine(options))
    rows: list[Row] = []
    for name in [given.only] if given.only else PARTS:
        progress(f"  {name} ...")
        rows += PARTS[name](options)
    print("| | routing, or the policy | without, or round robin | target | |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")
    return int(any(row.verdict == MISSED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
