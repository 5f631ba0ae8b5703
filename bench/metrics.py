"""Measure what counting costs a request, and a scrape the primary: `python bench/metrics.py`.

Prints a markdown table; progress goes to standard error. Exits with 1 if a target was missed. Needs wrk.
The two servers of a comparison are ours, one of which counts nothing; their rounds alternate, and CPU is that of the
whole process tree.
"""

from __future__ import annotations

import shutil
import socket
import statistics
import sys
import tempfile
import time
from pathlib import Path

from figures import MISSED, Options, judge, parser_of, progress
from gunicorns import OURS, BenchError, Server
from kinds import CLOSE, Row, cost
from serve import describe_machine

MOST_SHARE = 1.01
MOST_SCRAPE_MS = 2.0
WORKERS = 16


def counting(options: Options) -> list[Row]:
    """A request, kept alive and with a connection of its own, counted and not."""
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed: apt-get install wrk")
    rows = []
    with Server(OURS, 1) as counted, Server(OURS, 1, app="uncounted:app") as uncounted:
        for title, extra in (("keep-alive", ()), ("a connection for each request", CLOSE)):
            found: dict[Server, list[float]] = {counted: [], uncounted: []}
            for number in range(options.scaled(25, 1)):
                for one in (counted, uncounted) if number % 2 else (uncounted, counted):
                    found[one].append(cost(one, 1.0, *extra))
            pairs = zip(found[counted], found[uncounted], strict=True)
            ratio = statistics.median(mine / theirs for mine, theirs in pairs)
            mine, theirs = (f"{statistics.median(found[one]):.1f} µs" for one in (counted, uncounted))
            verdict = judge(ratio <= MOST_SHARE)
            rows.append(Row(f"CPU for a request, {title}", f"{mine}, {ratio:.3f}", theirs, "at most 1.01", verdict))
    return rows


def scrapes(options: Options) -> list[Row]:
    """What an answer to /metrics takes of the primary's main thread, with 16 workers that have served."""
    with tempfile.TemporaryDirectory() as folder:
        path = str(Path(folder) / "ctl")
        with Server(OURS, WORKERS, "--control-socket", path) as server:
            cost(server, 2.0)
            scrape(path)
            count = options.scaled(200, 5)
            before, began = seconds_run(server.pid), time.monotonic()
            for _ in range(count):
                scrape(path)
            used, lasted = seconds_run(server.pid) - before, time.monotonic() - began
            idle_before = seconds_run(server.pid)
            time.sleep(lasted)
            used -= seconds_run(server.pid) - idle_before  # what it does beside
    milliseconds = used / count * 1e3
    title = f"CPU of the primary for a scrape of {WORKERS} workers"
    return [Row(title, f"{milliseconds:.2f} ms", "", "at most 2 ms", judge(milliseconds <= MOST_SCRAPE_MS))]


def scrape(path: str) -> bytes:
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(path)
        client.sendall(b"GET /metrics HTTP/1.1\r\nHost: bench\r\n\r\n")
        answer = b"".join(iter(lambda: client.recv(65536), b""))
    if not answer.startswith(b"HTTP/1.1 200 OK\r\n"):
        raise BenchError(f"expected the metrics, got {answer[:200]!r}")
    return answer


def seconds_run(pid: int) -> float:
    """CPU time of the first thread of a process."""
    return int(Path(f"/proc/{pid}/schedstat").read_text().split()[0]) / 1e9


def main() -> int:
    options = Options(parser_of("Measure what counting requests and a scrape cost.").parse_args().quick, (OURS,))
    progress(describe_machine(options))
    rows = [*counting(options), *scrapes(options)]
    print("| | counting | not counting | target | |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")
    return int(any(row.verdict == MISSED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
