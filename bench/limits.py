"""Measure what a time limit and an id cost a request: `python bench/limits.py`.

Prints a markdown table; progress goes to standard error. Exits with 1 if a target was missed. Needs wrk.
The servers of a comparison are ours, with the setting and without; their rounds alternate, and CPU is that of the whole
process tree.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
from collections.abc import Iterator
from typing import Any

from figures import MISSED, Options, judge, progress
from kinds import CLOSE, Row, cost
from serve import describe_machine
from servers import OURS, BenchError, Server

MOST_SHARE = 1.01
LIMIT: dict[str, Any] = {"request_timeout": 30}
IDS: dict[str, Any] = {"request_id_header": "X-Request-ID"}


@contextlib.contextmanager
def with_settings(settings: dict[str, Any]) -> Iterator[Server]:
    """A server of one worker."""
    with contextlib.ExitStack() as stack:
        os.environ["BENCH_SETTINGS"] = json.dumps(settings)
        try:
            server = stack.enter_context(Server(OURS, 1))
        finally:
            del os.environ["BENCH_SETTINGS"]
        yield server


def compared(title: str, settings: dict[str, Any], extra: tuple[str, ...], most: float | None, rounds: int) -> Row:
    """A request with these settings, and without."""
    with with_settings(settings) as one, with_settings({}) as other:
        found: dict[Server, list[float]] = {one: [], other: []}
        for number in range(rounds):
            for server in (one, other) if number % 2 else (other, one):
                found[server].append(cost(server, 1.0, *extra))
        ratio = statistics.median(mine / theirs for mine, theirs in zip(found[one], found[other], strict=True))
        mine, theirs = (f"{statistics.median(found[server]):.1f} µs" for server in (one, other))
    target = "reported" if most is None else f"at most {most:g}"
    return Row(title, f"{mine}, {ratio:.3f}", theirs, target, "" if most is None else judge(ratio <= most))


def main() -> int:
    options = Options("--quick" in sys.argv[1:], (OURS,))
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed: apt-get install wrk")
    progress(describe_machine(options))
    rounds = options.scaled(25, 1)
    rows = [
        compared("request_timeout, keep-alive", LIMIT, (), MOST_SHARE, rounds),
        compared("request_timeout, a connection for each request", LIMIT, CLOSE, MOST_SHARE, rounds),
        compared("request_id_header, keep-alive", IDS, (), None, rounds),
    ]
    print("| CPU for a request | with | without | target | |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")
    return int(any(row.verdict == MISSED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
