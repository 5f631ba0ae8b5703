"""Requests per second and CPU per request, both servers side by side in alternating rounds."""

from __future__ import annotations

import re
import resource
import shutil
import statistics
import subprocess
from dataclasses import dataclass

import procfs
from figures import MISSED, NOTHING, Figure, Options, Row, judge, progress, spread
from gunicorns import OURS, STOCK, BenchError, Server, Side

WORKERS = 2
LEVEL = 0.97  # a ratio from here to 1 is called level: rounds of one and the same server differ by more
WHAT = "connections and requests per second"
DISTURBED_CORES = 0.1
NO_WRK = "wrk is not installed (on Debian and Ubuntu: apt-get install wrk), so throughput was not measured"


@dataclass(frozen=True)
class Sample:
    """One round against one server."""

    per_second: float
    cpu_microseconds: float
    errors: int
    others: float  # cores that processes other than this server and wrk kept busy


def wrk_cpu_seconds() -> float:
    """CPU time of the finished rounds of wrk (the servers are still running)."""
    usage = resource.getrusage(resource.RUSAGE_CHILDREN)
    return usage.ru_utime + usage.ru_stime


def run_wrk(server: Server, seconds: int, headers: tuple[str, ...]) -> Sample:
    """One round: one thread, 32 connections; the CPU time is that of the server's whole process tree."""
    options = [argument for header in headers for argument in ("-H", header)]
    before, all_before = procfs.session_cpu_seconds(server.pid), procfs.busy_cpu_seconds() - wrk_cpu_seconds()
    done = subprocess.run(
        ["wrk", "-t1", "-c32", f"-d{seconds}s", *options, f"http://127.0.0.1:{server.port}/"],
        capture_output=True,
        text=True,
        timeout=seconds + 30,
        check=False,
    )
    used = procfs.session_cpu_seconds(server.pid) - before
    others = procfs.busy_cpu_seconds() - wrk_cpu_seconds() - all_before - used
    requests = re.search(r"(\d+) requests in", done.stdout)
    rate = re.search(r"Requests/sec:\s*([\d.]+)", done.stdout)
    if requests is None or rate is None or int(requests[1]) == 0:
        raise BenchError(f"wrk gave no result: {(done.stdout + done.stderr).strip()[-200:]}")
    broken = re.search(r"Socket errors: connect (\d+), read (\d+), write (\d+), timeout (\d+)", done.stdout)
    refused = re.search(r"Non-2xx or 3xx responses: (\d+)", done.stdout)
    errors = sum(map(int, broken.groups())) if broken else 0
    errors += int(refused[1]) if refused else 0
    return Sample(float(rate[1]), used * 1e6 / int(requests[1]), errors, others / seconds)


def alternate(servers: dict[Side, Server], options: Options, headers: tuple[str, ...]) -> dict[Side, list[Sample]]:
    """Rounds in turn, the first of a pair changing sides, after one round each that does not count."""
    seconds = options.scaled(3, 1)
    samples: dict[Side, list[Sample]] = {side: [] for side in servers}
    for server in servers.values():
        run_wrk(server, 1, headers)
    for index in range(options.scaled(7, 2)):
        order = list(servers) if index % 2 == 0 else list(reversed(servers))
        for side in order:
            samples[side].append(run_wrk(servers[side], seconds, headers))
    return samples


def cell(values: list[float], unit: str) -> str:
    return f"{statistics.median(values):.0f}{unit} ({spread(values)})" if values else NOTHING


def ratio_text(ours: list[float], stock: list[float]) -> str:
    """The ratio of the medians, with the extremes of the pairs."""
    if not ours or not stock:
        return ""
    pairs = [mine / theirs for mine, theirs in zip(ours, stock, strict=True)]
    ratio = statistics.median(ours) / statistics.median(stock)
    return f", {ratio:.2f} of stock (pairs {spread(pairs, '.2f')})"


def rate_verdict(ours: list[float], stock: list[float]) -> str:
    if not ours or not stock:
        return ""
    ratio = statistics.median(ours) / statistics.median(stock)
    return "level" if LEVEL <= ratio < 1 else judge(ratio >= 1)


def rows_of(what: str, samples: dict[Side, list[Sample]]) -> list[Row]:
    """Two rows: the rate, and the CPU time of the process tree per request."""
    ours, stock = samples.get(OURS, []), samples.get(STOCK, [])
    rates = [sample.per_second for sample in ours], [sample.per_second for sample in stock]
    costs = [sample.cpu_microseconds for sample in ours], [sample.cpu_microseconds for sample in stock]
    errors = sum(sample.errors for sample in ours)
    note = f", {errors} errors" if errors else ""
    others = statistics.median(sample.others for sample in ours + stock)
    if others > DISTURBED_CORES:
        note += f"; other programs kept {others:.1f} cores busy"
    verdict = MISSED if errors else rate_verdict(*rates)
    return [
        Row(
            f"{what} per second",
            cell(rates[0], "") + ratio_text(*rates) + note,
            cell(rates[1], ""),
            "no worse",
            verdict,
        ),
        Row(
            f"CPU time for it, whole process tree ({what})",
            cell(costs[0], " µs") + ratio_text(*costs),
            cell(costs[1], " µs"),
            "reported",
            "",
        ),
    ]


def measure(options: Options) -> list[Row]:
    """New connections and keep-alive requests, ours against stock gevent, two workers each."""
    if shutil.which("wrk") is None:
        progress(NO_WRK)
        return [Row(WHAT, NO_WRK, NOTHING, "no worse", "not measured")]
    kinds = [("new connections", ("Connection: close",)), ("keep-alive requests", ())]
    servers: dict[Side, Server] = {}
    rows: list[Row] = []
    try:
        for side in options.sides:
            servers[side] = Server(side, WORKERS).__enter__()
        for what, headers in kinds:
            progress(f"  {what} ...")
            rows += rows_of(what, alternate(servers, options, headers))
    except (BenchError, OSError) as error:
        rows.append(Row(WHAT, f"failed: {error!r}", NOTHING, "no worse", MISSED))
    finally:
        for server in servers.values():
            server.close()
    return rows


FIGURES = [Figure("throughput", measure)]
