"""Measure what the server promises, beside stock gunicorn: `python bench/serve.py`.

Prints a markdown table, one row for each target; progress goes to standard error. Exits with 1 if a
target was missed or the run was interrupted.
"""

from __future__ import annotations

import argparse
import os
import platform
import signal
import sys
import time
from importlib import metadata

import deaths
import distribution
import held
import leaks
import reloads
import throughput
from figures import MISSED, Figure, Options, Row, progress
from gunicorns import OURS, STOCK

SIDES = {side.name: side for side in (OURS, STOCK)}


def all_figures() -> list[Figure]:
    """Every figure, in the order of the table."""
    modules = (distribution, deaths, held, throughput, leaks, reloads)
    return [figure for module in modules for figure in module.FIGURES]


def parse(names: list[str]) -> tuple[list[str], Options]:
    """The names that were asked for, and how to measure them."""
    parser = argparse.ArgumentParser(description="Measure what the server promises, beside stock gunicorn.")
    parser.add_argument("--only", metavar="NAME,...", help="of: " + ", ".join(names))
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a smoke test")
    parser.add_argument("--sides", metavar="SIDE,...", default="ours,stock", help="of: ours, stock")
    given = parser.parse_args()
    wanted = given.only.split(",") if given.only else names
    sides = given.sides.split(",")
    for name, known in [(name, names) for name in wanted] + [(side, list(SIDES)) for side in sides]:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    return wanted, Options(given.quick, tuple(SIDES[side] for side in sides))


def print_table(rows: list[Row]) -> None:
    print("| figure | ours | stock `-k gevent` | target | |")
    print("|---|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.ours} | {row.stock} | {row.target} | {row.verdict} |")


def describe_machine(options: Options) -> str:
    """One line about where the figures come from."""
    versions = ", ".join(f"{name} {metadata.version(name)}" for name in ("gunicorn", "gevent"))
    kind = "quick run" if options.quick else "full run"
    machine = f"{os.cpu_count()} cores, {platform.machine()}"
    return f"{kind}; Python {platform.python_version()}, {versions}; {machine}"


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def main() -> int:
    figures = {figure.name: figure for figure in all_figures()}
    wanted, options = parse(list(figures))
    signal.signal(signal.SIGTERM, interrupt)
    rows: list[Row] = []
    complete = False
    try:
        for name in wanted:
            began = time.monotonic()
            progress(f"{name} ...")
            rows += figures[name].measure(options)
            progress(f"{name}: {time.monotonic() - began:.0f} s")
        complete = True
    except KeyboardInterrupt:
        progress("interrupted; the table has what was measured so far")
    print(f"\n{describe_machine(options)}\n")
    print_table(rows)
    return 0 if complete and all(row.verdict != MISSED for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
