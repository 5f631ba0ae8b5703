"""Measure what a time limit, an id and everything together cost a request: `python bench/limits.py`.

Prints a markdown table; progress goes to standard error. Exits with 1 if a target was missed. Needs wrk.
The servers of a comparison are ours, with the setting and without; everything is counting, an admin address, a limit
and ids, beside a server that does not even count.  Their rounds alternate, and CPU is that of the whole process tree.
Two processes of the same program differ by some percent, for as long as they live, by where their memory happens to
lie; so there are several pairs of servers, each with a few rounds, and one comparison is of like with like.
"""

from __future__ import annotations

import contextlib
import json
import os
import shutil
import statistics
import sys
from collections.abc import Callable, Iterator
from functools import partial
from typing import Any

from figures import MISSED, Options, judge, parser_of, progress
from gunicorns import OURS, BenchError, Server, free_port
from kinds import CLOSE, Row, cost
from serve import describe_machine

MOST_SHARE = 1.01
PAIRS = 8
LIMIT: dict[str, Any] = {"request_timeout": 30}
IDS: dict[str, Any] = {"request_id_header": "X-Request-ID"}
COUNTING, UNCOUNTED = "app:app", "uncounted:app"
Begin = Callable[[], contextlib.AbstractContextManager[Server]]


@contextlib.contextmanager
def with_settings(settings: dict[str, Any], app: str = COUNTING) -> Iterator[Server]:
    """A server of one worker."""
    with contextlib.ExitStack() as stack:
        os.environ["BENCH_SETTINGS"] = json.dumps(settings)
        try:
            server = stack.enter_context(Server(OURS, 1, app=app))
        finally:
            del os.environ["BENCH_SETTINGS"]
        yield server


def with_everything() -> contextlib.AbstractContextManager[Server]:
    """One with all that operators can have."""
    return with_settings({**LIMIT, **IDS, "admin": f"127.0.0.1:{free_port()}"})


def compared(
    title: str, ours: Begin, extra: tuple[str, ...], most: float | None, rounds: int, without: str = COUNTING
) -> Row:
    """A request of such a server, and of one without: the mean of the pairs' ratios, each the median of its rounds."""
    begins = ours, partial(with_settings, {}, without)
    pairs = [pair(begins, extra, rounds, is_first=bool(number % 2)) for number in range(PAIRS)]
    ratios = [statistics.median(mine / theirs for mine, theirs in zip(*one, strict=True)) for one in pairs]
    mine, theirs = (f"{statistics.median(cost for one in pairs for cost in one[side]):.1f} µs" for side in (0, 1))
    ratio, spread = statistics.mean(ratios), f"{min(ratios):.3f} to {max(ratios):.3f}"
    target = "reported" if most is None else f"at most {most:g}"
    verdict = "" if most is None else judge(ratio <= most)
    return Row(title, f"{mine}, {ratio:.3f} ({spread})", theirs, target, verdict)


def pair(
    begins: tuple[Begin, Begin], extra: tuple[str, ...], rounds: int, *, is_first: bool
) -> tuple[list[float], list[float]]:
    """The costs of two new servers; `is_first`: the first one is started first."""
    with contextlib.ExitStack() as stack:
        servers = [stack.enter_context(begin()) for begin in (begins if is_first else begins[::-1])]
        one, other = servers if is_first else servers[::-1]
        found: dict[Server, list[float]] = {one: [], other: []}
        for number in range(rounds):
            for server in (one, other) if number % 2 else (other, one):
                found[server].append(cost(server, 1.0, *extra))
    return found[one], found[other]


def main() -> int:
    options = Options(
        parser_of("Measure what time limits, ids and counting cost a request.").parse_args().quick, (OURS,)
    )
    if shutil.which("wrk") is None:
        raise BenchError("wrk is not installed: apt-get install wrk")
    progress(describe_machine(options))
    rounds = options.scaled(6, 1)
    limited, with_ids = partial(with_settings, LIMIT), partial(with_settings, IDS)
    rows = [
        compared("nothing, keep-alive", partial(with_settings, {}), (), None, rounds),
        compared("request_timeout, keep-alive", limited, (), MOST_SHARE, rounds),
        compared("request_timeout, a connection for each request", limited, CLOSE, MOST_SHARE, rounds),
        compared("request_id_header, keep-alive", with_ids, (), None, rounds),
        compared("everything, keep-alive", with_everything, (), MOST_SHARE, rounds, UNCOUNTED),
        compared("everything, a connection for each request", with_everything, CLOSE, None, rounds, UNCOUNTED),
    ]
    print("| CPU for a request | with | without | target | |\n|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")
    return int(any(row.verdict == MISSED for row in rows))


if __name__ == "__main__":
    sys.exit(main())
