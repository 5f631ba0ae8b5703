"""One round of wrk against one server, with the CPU time that the server's whole process tree needed for it."""

from __future__ import annotations

import json
import subprocess
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any

from sessions import BenchError

from comparison.contestants import HttpServer
from comparison.tools import PEERS
from comparison.usage import usage_of

CLOSE = "Connection: close"


@dataclass(frozen=True)
class Load:
    """What wrk sends.

    Attributes:
        path: of every request.
        connections: how many it keeps busy.
        mode: and argument, see `peers/load.lua`.
        headers: of every request.
    """

    path: str = "/"
    connections: int = 64
    mode: tuple[str, ...] = ("get",)
    headers: tuple[str, ...] = ()


@dataclass(frozen=True)
class Sample:
    """One round.

    Attributes:
        requests: how many were answered.
        rate: of them per second.
        cpu: microseconds of CPU per request, of the whole process tree.
        primary: the same of the primary alone.
        p50, p99, p999: latencies in milliseconds.
        errors: requests and connections that failed.
        others: cores that programs other than this server and wrk kept busy.
    """

    requests: int
    rate: float
    cpu: float
    primary: float
    p50: float
    p99: float
    p999: float
    errors: int
    others: float


def run_wrk(port: int, load: Load, seconds: int) -> dict[str, Any]:
    """Run wrk once; returns what `peers/load.lua` prints."""
    command = ["wrk", "-t1", f"-c{load.connections}", f"-d{seconds}s", "--timeout", "10s"]
    command += [argument for header in load.headers for argument in ("-H", header)]
    command += ["-s", str(PEERS / "load.lua"), f"http://127.0.0.1:{port}{load.path}", "--", *load.mode]
    done = subprocess.run(command, capture_output=True, text=True, timeout=seconds + 30, check=False)
    result = [line for line in done.stdout.splitlines() if line.startswith('{"requests"')]
    if not result:
        raise BenchError(f"wrk gave no result: {(done.stdout + done.stderr).strip()[-200:]}")
    parsed: dict[str, Any] = json.loads(result[0])
    if not parsed["requests"]:
        raise BenchError(f"no request was answered: {done.stdout.strip()[-200:]}")
    return parsed


def measure(server: HttpServer, load: Load, seconds: int) -> Sample:
    """One round."""
    before = usage_of(server)
    result = run_wrk(server.port, load, seconds)
    spent = usage_of(server) - before
    number = result["requests"]
    return Sample(
        requests=number,
        rate=number / result["seconds"],
        cpu=spent.tree * 1e6 / number,
        primary=spent.primary * 1e6 / number,
        p50=result["p50"],
        p99=result["p99"],
        p999=result["p999"],
        errors=result["errors"],
        others=spent.disturbance,
    )


def disturbance(samples: Sequence[Sample]) -> float:
    """Cores that other programs kept busy, in the worst round."""
    return max((sample.others for sample in samples), default=0.0)
