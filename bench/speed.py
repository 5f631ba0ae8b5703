"""Measure how fast the server is, beside stock gunicorn, Node and granian: `python bench/speed.py`.

Prints what must be reached and everything that was measured; progress goes to standard error.  Exits with 1 if a
target was missed or the run was interrupted.
"""

from __future__ import annotations

import argparse
import signal
import sys
import time
from dataclasses import dataclass

from comparison import http_groups, message_group, process_groups, scale_groups, slow_group
from comparison.figures import SIDES, Report
from comparison.goals import Verdict, judge_all
from comparison.groups import Group, Run
from comparison.machine import origin
from comparison.page import check_page, page, read_reports, summary, with_new, write_page
from comparison.tools import find_wrk, prepare
from figures import progress
from load import RequestFailed
from sessions import BenchError


@dataclass(frozen=True)
class Wishes:
    """The command line."""

    names: list[str]
    sides: tuple[str, ...]
    quick: bool
    here: bool
    install_wrk: bool
    write: bool


def all_groups() -> dict[str, Group]:
    """Every group, in the order of the tables."""
    modules = (http_groups, slow_group, scale_groups, message_group, process_groups)
    return {group.name: group for module in modules for group in module.GROUPS}


def parse(groups: dict[str, Group]) -> Wishes:
    parser = argparse.ArgumentParser(description="Measure how fast the server is, beside its peers.")
    parser.add_argument("--only", metavar="NAME,...", help="of: " + ", ".join(groups))
    parser.add_argument("--list", action="store_true", help="say what the names mean, and end")
    parser.add_argument("--quick", action="store_true", help="fewer and shorter rounds: a smoke test")
    parser.add_argument("--sides", metavar="SIDE,...", default=",".join(SIDES), help="of: " + ", ".join(SIDES))
    parser.add_argument("--here", action="store_true", help="use the running interpreter's packages, install none")
    parser.add_argument("--install-wrk", action="store_true", help="apt-get install wrk, as root, if it is missing")
    parser.add_argument("--write", action="store_true", help="put the results into docs/performance.md")
    given = parser.parse_args()
    if given.list:
        print("\n".join(f"{group.name:12} {group.title}" for group in groups.values()))
        parser.exit()
    if given.quick and given.write:
        parser.error("--quick measures no figures worth writing down")
    names = given.only.split(",") if given.only else list(groups)
    sides = tuple(given.sides.split(","))
    for name, known in [(name, groups) for name in names] + [(side, SIDES) for side in sides]:
        if name not in known:
            parser.error(f"{name!r} is none of {', '.join(known)}")
    return Wishes(names, sides, given.quick, given.here, given.install_wrk, given.write)


def interrupt(*_: object) -> None:
    raise KeyboardInterrupt


def measure(groups: list[Group], run: Run) -> list[Report]:
    """Measure one group after the other; returns those that did not fail before an interrupt."""
    reports: list[Report] = []
    for group in groups:
        began = time.monotonic()
        progress(f"{group.name} ...")
        try:
            reports.append(Report(group.name, tuple(group.measure(run)), origin(group, run)))
        except KeyboardInterrupt:
            progress("interrupted; the tables have what was measured so far")
            break
        except (BenchError, RequestFailed, OSError) as error:
            progress(f"{group.name} failed: {error}")
        progress(f"{group.name}: {time.monotonic() - began:.0f} s")
    return reports


def main() -> int:
    groups = all_groups()
    wishes = parse(groups)
    wanted = [groups[name] for name in wishes.names]
    titles = {group.name: group.title for group in groups.values()}
    signal.signal(signal.SIGTERM, interrupt)
    try:
        if wishes.write:
            check_page()
        if any(group.needs_wrk for group in wanted):
            find_wrk(wishes.install_wrk)
        tools = prepare(wishes.sides, here=wishes.here)
    except BenchError as error:
        progress(str(error))
        return 1
    reports = measure(wanted, Run(wishes.quick, wishes.sides, tools))
    lines = {line.key: line for report in reports for line in report.lines}
    print("\n".join([*summary(lines), "", *page(reports, titles)]))
    if wishes.write and reports:
        write_page(with_new(read_reports(), reports, list(groups)), titles)
    judgements = judge_all(line for report in reports for line in report.lines)
    missed = any(judgement.verdict is Verdict.MISSED for judgement in judgements)
    return 0 if len(reports) == len(wanted) and not missed else 1


if __name__ == "__main__":
    sys.exit(main())
