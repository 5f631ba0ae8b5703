"""Figures about an arbiter that stands still: what new connections wait for meanwhile."""

from __future__ import annotations

import os
import signal
import statistics
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from figures import Figure, Options, Outcome, Row, each_side, judge, milliseconds
from gunicorns import HERE, BenchError, Server, Side
from load import try_once

WORKERS = 4
REQUESTS = 600
MARGIN_SECONDS = 0.005
PATIENCE = 20.0
KEPT_SECONDS = 5.0

STEPS: dict[str, Callable[[Server], object]] = {
    "fork": lambda server: server.send_signal(signal.SIGTTIN),
    "scale": lambda server: server.send_signal(signal.SIGTTIN),
    "reap": lambda server: os.kill(server.workers()[0], signal.SIGKILL),
    "reload": lambda server: server.send_signal(signal.SIGHUP),
    "configuration": lambda server: server.send_signal(signal.SIGHUP),
}


def latencies(port: int, number: int) -> tuple[list[float], int]:
    """Ask one after another, a connection each; return how long each took, and how many were not answered."""
    times, failed = [], 0
    for _ in range(number):
        began = time.monotonic()
        if try_once(port) is None:
            failed += 1
        times.append(time.monotonic() - began)
    return times, failed


def p99(times: list[float]) -> float:
    return statistics.quantiles(times, n=100)[98]


def held_at(step: str, side: Side, options: Options) -> list[Outcome]:
    """The p99 of new connections while the arbiter stands still at a step, and right before."""
    number = options.scaled(REQUESTS, 100)
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held"
        os.environ |= {"BENCH_STEP": step, "BENCH_HELD": str(held)}
        with Server(side, WORKERS, "-c", str(HERE / "apps" / "conf_held.py")) as server:
            latencies(server.port, 50)
            quiet, _ = latencies(server.port, number)
            held.touch()
            STEPS[step](server)
            if not entered(held):
                raise BenchError(f"the arbiter did not come to {step}")
            meanwhile, failed = latencies(server.port, number)
            held.unlink()
    text = f"{milliseconds(p99(meanwhile))} (quiet {milliseconds(p99(quiet))}), {failed} failed"
    return [Outcome(text, judge(not failed and p99(meanwhile) - p99(quiet) < MARGIN_SECONDS))]


SHAPES = {"text": "a text", "records": "a list of records"}


def held_by_message(shape: str, side: Side, options: Options) -> list[Outcome]:
    """The p99 of new connections from when a worker sends 100 MiB until the primary has told them, and right before."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held"
        os.environ |= {"BENCH_SHAPE": shape, "BENCH_HELD": str(held)}
        with Server(side, WORKERS, "-c", str(HERE / "apps" / "conf_message.py")) as server:
            if not entered(held, 3 * PATIENCE):
                raise BenchError("the message was not made")
            latencies(server.port, 50)
            quiet, _ = latencies(server.port, options.scaled(REQUESTS, 100))
            held.touch()
            meanwhile, failed = latencies_while(server.port, held)
    text = (
        f"{milliseconds(p99(meanwhile))}, at most {milliseconds(max(meanwhile))} "
        f"(quiet {milliseconds(p99(quiet))}), {len(meanwhile)} asked, {failed} failed"
    )
    return [Outcome(text, judge(not failed and p99(meanwhile) - p99(quiet) < MARGIN_SECONDS))]


def held_by_lock(side: Side, options: Options) -> list[Outcome]:
    """The p99 of new connections while a thread of the primary keeps the interpreter's lock, and right before."""
    with tempfile.TemporaryDirectory() as folder:
        held = Path(folder) / "held"
        os.environ |= {"BENCH_HELD": str(held)}
        with Server(side, WORKERS, "-c", str(HERE / "apps" / "conf_kept.py")) as server:
            latencies(server.port, 50)
            quiet, _ = latencies(server.port, options.scaled(REQUESTS, 100))
            held.touch()
            meanwhile, failed = latencies_for(server.port, KEPT_SECONDS)
            held.unlink()
    text = f"{milliseconds(p99(meanwhile))} (quiet {milliseconds(p99(quiet))}), {len(meanwhile)} asked, {failed} failed"
    return [Outcome(text, judge(not failed and p99(meanwhile) - p99(quiet) < MARGIN_SECONDS))]


def latencies_for(port: int, seconds: float) -> tuple[list[float], int]:
    """As :func:`latencies`, for so long."""
    times, failed = [], 0
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline:
        one, lost = latencies(port, 1)
        times += one
        failed += lost
    return times, failed


def latencies_while(port: int, held: Path) -> tuple[list[float], int]:
    """As :func:`latencies`, as long as a file is there."""
    times, failed = [], 0
    deadline = time.monotonic() + PATIENCE
    while held.exists() and time.monotonic() < deadline:
        one, lost = latencies(port, 1)
        times += one
        failed += lost
    return times, failed


def entered(held: Path, patience: float = PATIENCE) -> bool:
    deadline = time.monotonic() + patience
    while time.monotonic() < deadline:
        if Path(f"{held}.entered").exists():
            return True
        time.sleep(0.01)
    return False


def measure(options: Options) -> list[Row]:
    rows: list[Row] = []
    for step in STEPS:
        title = f"p99 of new connections while the arbiter stands still: {step}"
        rows += each_side(
            [(title, "quiet + 5 ms, 0 failed")], lambda side, given, step=step: held_at(step, side, given), options
        )
    for shape, what in SHAPES.items():
        title = f"p99 of new connections while the primary receives and decodes a message of 100 MiB, {what}"
        rows += each_side(
            [(title, "quiet + 5 ms, 0 failed")],
            lambda side, given, shape=shape: held_by_message(shape, side, given),
            options,
        )
    title = "p99 of new connections while a thread of the primary keeps the interpreter's lock for 200 of every 250 ms"
    return rows + each_side([(title, "quiet + 5 ms, 0 failed")], held_by_lock, options)


FIGURES = [Figure("waits", measure)]
