"""Measure what the server survives, beside stock gunicorn and Node: `python bench/survive.py`.

Prints a markdown table, one row for each target; progress goes to standard error. Exits with 1 if a target was missed.
"""

from __future__ import annotations

import argparse
import sys
import time
from collections.abc import Callable, Sequence
from dataclasses import dataclass

from figures import MISSED, NOTHING, Options, Outcome, progress
from gunicorns import OURS, STOCK, BenchError, Side
from kept_alive import kept_alive
from load import RequestFailed
from loops import crash_loop
from orphans import killed_primary
from rollouts import broken, slow_reloads
from serve import describe_machine
from storms import storm
from survivors import NODE

SIDES = {side.name: side for side in (OURS, STOCK, NODE)}


@dataclass(frozen=True)
class Group:
    """Rows that are measured together: their titles and targets, and which sides can be measured."""

    measure: Callable[[Side, Options], list[Outcome]]
    rows: Sequence[tuple[str, str]]
    sides: tuple[Side, ...] = (OURS, STOCK)


GROUPS = {
    "reloads": Group(
        slow_reloads,
        [
            ("20 HUPs in a row under load, application with a 4 s import", "0 failed"),
            ("how long requests took", "p99 within 50 ms of quiet"),
        ],
    ),
    "kept": Group(
        kept_alive,
        [
            ("kept-alive clients that pause 0.6 to 1.7 s and do not look before they send: HUP every 2 s", "0 failed"),
            ("the same, TTIN and TTOU by turns every 2 s", "0 failed"),
            ("the same, `max_requests = 20`", "0 failed"),
            ("the same, `max_worker_requests = 20`", "0 failed"),
        ],
    ),
    "broken": Group(
        broken,
        [
            ("broken deployment, then HUP, under load", "0 failed, version 0 serves"),
            ("what the status file says of it", "failed, and why"),
        ],
    ),
    "storm": Group(
        storm,
        [
            ("SIGKILL of a worker every 200 ms for 60 s, 4 workers, a connection for each request: failed", "reported"),
            ("of these, not taken by a worker that was killed", "0"),
            ("service meanwhile", "reported"),
        ],
        (OURS, STOCK, NODE),
    ),
    "loop": Group(
        crash_loop,
        [
            ("crash loop of 4 workers: forks in the first 30 s", "5 at most"),
            ("service is back after the cause has gone in", "2 s"),
        ],
    ),
    "primary": Group(
        killed_primary,
        [
            ("SIGKILL of the primary: every process has gone", "1 s"),
            ("and the address can be bound at once", "always"),
        ],
        (OURS, STOCK, NODE),
    ),
}


def parse() -> tuple[list[str], Options]:
    parser = argparse.ArgumentParser(description="Measure what the server survives, beside stock gunicorn and Node.")
    parser.add_argument("--only", metavar="NAME,...", default=",".join(GROUPS), help="of: " + ", ".join(GROUPS))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a smoke test")
    parser.add_argument("--sides", metavar="SIDE,...", default=",".join(SIDES), help="of: " + ", ".join(SIDES))
    given = parser.parse_args()
    wanted, sides = given.only.split(","), given.sides.split(",")
    for name in [*wanted, *sides]:
        if name not in GROUPS and name not in SIDES:
            parser.error(f"{name!r} is none of {', '.join([*GROUPS, *SIDES])}")
    return wanted, Options(given.quick, tuple(SIDES[side] for side in sides))


def measure(name: str, side: Side, options: Options) -> list[Outcome]:
    """The outcomes of one side."""
    group = GROUPS[name]
    if side not in group.sides or side not in options.sides:
        return [Outcome(NOTHING)] * len(group.rows)
    began = time.monotonic()
    try:
        return group.measure(side, options)
    except (BenchError, RequestFailed, OSError, LookupError, ValueError) as error:
        return [Outcome(f"failed: {error!r}", MISSED)] * len(group.rows)
    finally:
        progress(f"{name}, {side.name}: {time.monotonic() - began:.0f} s")


def main() -> int:
    wanted, options = parse()
    missed = False
    lines = ["| figure | ours | stock `-k gevent` | Node | target | |", "|---|---|---|---|---|---|"]
    for name in wanted:
        outcomes = {side.name: measure(name, side, options) for side in SIDES.values()}
        for index, (title, target) in enumerate(GROUPS[name].rows):
            cells = [outcomes[side][index].text for side in SIDES]
            verdict = outcomes[OURS.name][index].verdict
            missed = missed or verdict == MISSED
            lines.append(f"| {title} | {' | '.join(cells)} | {target} | {verdict} |")
    print(f"\n{describe_machine(options)}\n")
    print("\n".join(lines))
    return int(missed)


if __name__ == "__main__":
    sys.exit(main())
