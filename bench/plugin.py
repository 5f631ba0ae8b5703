"""Measure what the pytest plugin promises: `python bench/plugin.py`.

Prints a markdown table, one row for each target; progress goes to standard error. Exits with 1 if a target was missed.
It needs an interpreter in which this checkout and pytest are installed.
"""

from __future__ import annotations

import argparse
import json
import os
import re
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path

ROOT = Path(__file__).resolve().parents[1]
WORKERS = 2
BOOT_SECONDS = 30.0
PLAIN_APP = """
def app(environ, start_response):
    start_response("200 OK", [("Content-Length", "2")])
    return [b"ok"]
"""
IMPORT_ALL = """
import importlib, sys, time
import pytest, _pytest.config
begin = time.process_time()
for name in ["pytest_cluster.plugin", *sys.argv[1:]]:
    importlib.import_module(name)
print(time.process_time() - begin)
"""
REAL_SERVER_TESTS = [f"tests/plugin/test_{name}.py" for name in ("faults", "processes", "real_server", "pool")]
SELECTED = {"kinds": "each_kind and not slow and not long", "all": "not slow and not long"}


@dataclass(frozen=True)
class Row:
    """One line of the table."""

    title: str
    measured: str
    target: str
    reached: bool


def progress(text: str) -> None:
    """Say on standard error how far it is."""
    print(text, file=sys.stderr, flush=True)


def spread(values: list[float], unit: str, scale: float = 1.0) -> str:
    """The median, and the extremes in brackets."""
    middle, least, most = (scale * one for one in (statistics.median(values), min(values), max(values)))
    return f"{middle:.1f} {unit} ({least:.1f} to {most:.1f}, {len(values)} times)"


def measure_import(rounds: int) -> Row:
    """What pytest pays for the plugin in a run without any cluster: processor time of its modules, and all they import.

    Which modules those are, and the time on the clock, which other programs stretch, says `-X importtime`.
    """
    clock, processor = [], []
    with tempfile.TemporaryDirectory() as folder:
        # Compiled once, as any installed package is.
        environment = {name: value for name, value in os.environ.items() if name != "PYTHONDONTWRITEBYTECODE"}
        environment["PYTHONPYCACHEPREFIX"] = os.path.join(folder, "compiled")

        def run(*arguments: str) -> subprocess.CompletedProcess[str]:
            command = [sys.executable, *arguments]
            return subprocess.run(command, capture_output=True, text=True, check=False, cwd=folder, env=environment)

        for _ in range(rounds + 1):
            told = run("-X", "importtime", "-m", "pytest", "-q", "--collect-only", folder).stderr
            modules, seconds = _importtime_of(told)
            clock.append(seconds)
            processor.append(float(run("-c", IMPORT_ALL, *modules).stdout))
    told = f"{spread(processor[1:], 'ms', 1e3)}; by the clock {spread(clock[1:], 'ms', 1e3)}"
    return Row("import of the plugin", told, "<= 5 ms", statistics.median(processor[1:]) <= 0.005)


def _importtime_of(told: str) -> tuple[list[str], float]:
    """The outermost modules of the plugin, and the seconds that they took with all that they import."""
    lines = [re.match(r"import time: +\d+ \| +(\d+) \|( +)(\S+)", line) for line in told.splitlines()]
    found = [(len(one[2]), one[3], int(one[1])) for one in lines if one]
    modules, total = [], 0
    for position, (depth, name, microseconds) in enumerate(found):
        if not name.startswith("pytest_cluster"):
            continue
        # The importer of a module is the next line that is indented less.
        importer = next((other for indent, other, _ in found[position:] if indent < depth), "")
        if not importer.startswith("pytest_cluster"):
            modules.append(name)
            total += microseconds
    return modules, total / 1e6


def measure_boot(rounds: int) -> Row:
    """From the start of the process to the primary's word that both workers listen: bare, and by the plugin."""
    from pytest_cluster.clusters.cluster import Cluster
    from pytest_cluster.options.cluster_options import ClusterOptions
    from pytest_cluster.server.guard import guard

    guard.acquire()
    bare, ours = [], []
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plain.py").write_text(PLAIN_APP)
        options = ClusterOptions(app="plain:app", workers=WORKERS, cwd=folder)
        for number in range(rounds):
            progress(f"boot {number + 1} of {rounds}")
            bare.append(_boot_bare(folder))
            begin = time.monotonic()
            cluster = Cluster.start(options, pythonpath=folder)
            ours.append(time.monotonic() - begin)
            cluster.close()
    guard.drop()
    ratio = statistics.median(ours) / statistics.median(bare)
    told = f"{ratio:.2f} times ({spread(ours, 'ms', 1e3)}; bare {spread(bare, 'ms', 1e3)})"
    return Row("boot of 2 workers, of the bare server's", told, "<= 1.2 times", ratio <= 1.2)


def _boot_bare(folder: str) -> float:
    reading, writing = os.pipe()
    command = [sys.executable, "-m", "gunicorn", "-k", "nodecluster_compat.Worker", "-w", str(WORKERS)]
    command += ["-b", "127.0.0.1:0", "--no-control-socket", "--pythonpath", folder, "plain:app"]
    begin = time.monotonic()
    server = subprocess.Popen(
        command,
        cwd=folder,
        env={**os.environ, "NODECLUSTER_JOURNAL_FD": str(writing)},
        pass_fds=(writing,),
        stdout=subprocess.DEVNULL,
        stderr=subprocess.DEVNULL,
    )
    os.close(writing)
    try:
        with os.fdopen(reading) as journal:
            listening = 0
            for line in journal:
                listening += json.loads(line)["event"] == "listening"
                if listening == WORKERS:
                    return time.monotonic() - begin
        raise RuntimeError("the bare server ended before its workers listened")
    finally:
        server.terminate()
        server.wait(BOOT_SECONDS)


REUSING = """
import pytest
{imports}

@pytest.mark.parametrize("n", range({count}))
def test_it(cluster, cluster_client, n):
    assert cluster_client.get("/").status == 200
"""
TIMING = """
def pytest_runtest_logreport(report):
    with open("times", "a") as times:
        print(report.when, report.duration, file=times)
"""


def measure_reuse(count: int) -> Row:
    """Set-up and teardown of a test whose cluster an earlier one has left as it was, with httpx where that is there.

    What a suite has imported makes collections of garbage longer, and so its tests.
    """
    has_httpx = find_spec("httpx") is not None
    with tempfile.TemporaryDirectory() as folder:
        Path(folder, "plain.py").write_text(PLAIN_APP)
        Path(folder, "test_it.py").write_text(
            REUSING.format(imports="import httpx" if has_httpx else "", count=count + 2)
        )
        Path(folder, "conftest.py").write_text(TIMING)
        command = [sys.executable, "-m", "pytest", "-q", "-p", "no:cacheprovider", "--cluster-app=plain:app"]
        subprocess.run(command, cwd=folder, check=True, stdout=subprocess.DEVNULL)
        phases = [line.split() for line in Path(folder, "times").read_text().splitlines()]
    tests = [
        sum(float(seconds) for when, seconds in phases[n : n + 3] if when != "call") for n in range(0, len(phases), 3)
    ]
    used_again = tests[1:-1]  # the first has booted it, the last has ended it
    told = spread(used_again, "ms", 1e3)
    title = f"a test with a cluster that is used again, {'beside' if has_httpx else 'without'} httpx"
    return Row(title, told, "<= 3 ms", statistics.median(used_again) <= 0.003)


def measure_flakes(runs: int, at_once: int, minutes: float, tests: str) -> Row:
    """The plugin's own tests on real clusters, again and again, by `at_once` processes; what fails is printed.

    Each process runs them in rounds (`rounds.py`); no round begins after so many minutes.
    """
    started = time.monotonic()
    shares = [runs // at_once + (number < runs % at_once) for number in range(at_once)]
    with ThreadPoolExecutor(at_once) as pool:
        done = list(pool.map(lambda share: _run_rounds(share, minutes, tests), shares))
    ran, failed = sum(ran for ran, _ in done), sum(failed for _, failed in done)
    told = f"{failed} ({at_once} at once, {(time.monotonic() - started) / 60:.0f} minutes)"
    which = "tests of the plugin, one of each kind" if tests == "kinds" else "the plugin's tests"
    return Row(f"runs of {which}, on real clusters that failed, of {ran}", told, "0", ran > 0 and not failed)


def _run_rounds(rounds: int, minutes: float, tests: str) -> tuple[int, int]:
    """How many rounds were run, and how many of them have failed."""
    command = [sys.executable, "-m", "pytest", "-q", "-p", "rounds", "-p", "no:cacheprovider", "--timeout=300"]
    command += ["-o", "tmp_path_retention_policy=failed", f"--rounds={rounds}", f"--round-minutes={minutes}"]
    command += ["-m", SELECTED[tests]]
    path = os.pathsep.join(filter(None, [str(ROOT / "bench"), os.environ.get("PYTHONPATH", "")]))
    ran = failed = 0
    with subprocess.Popen(
        [*command, *REAL_SERVER_TESTS],
        cwd=ROOT,
        env={**os.environ, "PYTHONPATH": path},
        stdout=subprocess.PIPE,
        stderr=subprocess.STDOUT,
        text=True,
    ) as pytest:
        for line in pytest.stdout or ():
            progress(line.rstrip())
            if re.search(r"round [0-9]+: [0-9]+ tests", line):
                ran += 1
                failed += ", FAILED: " in line
    return ran, failed + (pytest.returncode != 0 and not failed)


def _parser() -> argparse.ArgumentParser:
    parser = argparse.ArgumentParser(description="Measure what the pytest plugin promises.")
    parser.add_argument(
        "--only", metavar="NAME,...", default="import,boot,reuse", help="of: import, boot, reuse, flakes"
    )
    parser.add_argument("--rounds", type=int, default=15, help="of import and boot (default: 15)")
    parser.add_argument("--runs", type=int, default=200, help="of flakes (default: 200)")
    parser.add_argument("--at-once", type=int, default=1, help="processes that run flakes side by side (default: 1)")
    parser.add_argument("--minutes", type=float, default=1e6, help="no run of flakes begins later than that")
    parser.add_argument(
        "--tests", choices=SELECTED, default="all", help="of flakes: one of each kind, or all (default: all)"
    )
    return parser


def main() -> int:
    """Measure, print, say whether everything was reached."""
    parser = _parser()
    given = parser.parse_args()
    figures: dict[str, Callable[[], Row]] = {
        "import": lambda: measure_import(given.rounds),
        "boot": lambda: measure_boot(given.rounds),
        "reuse": lambda: measure_reuse(100),
        "flakes": lambda: measure_flakes(given.runs, given.at_once, given.minutes, given.tests),
    }
    rows = []
    for name in given.only.split(","):
        if name not in figures:
            parser.error(f"{name!r} is none of {', '.join(figures)}")
        progress(name)
        rows.append(figures[name]())
    print("| figure | measured | target | |")
    print("|---|---|---|---|")
    for row in rows:
        print(f"| {row.title} | {row.measured} | {row.target} | {'ok' if row.reached else 'MISSED'} |")
    return 0 if all(row.reached for row in rows) else 1


if __name__ == "__main__":
    sys.exit(main())
