"""SIGKILL of a worker every 200 ms under load: which requests fail, and which of them no worker had taken."""

from __future__ import annotations

import os
import random
import signal
import time
from collections import Counter, defaultdict

from figures import Options, Outcome, judge
from gunicorns import Side
from survivors import Asked, Askers, Deployed, percentile, server_of

__all__ = ["storm"]

WORKERS = 4
CLIENTS = 8
PAUSE = 0.005
KILL_SECONDS = 0.2
HEARD_SECONDS = 5.0


def kill_for(server: Deployed, seconds: float, chance: random.Random) -> dict[int, float]:
    """Kill a worker at random, again and again; returns which, and when."""
    killed: dict[int, float] = {}
    over = time.monotonic() + seconds
    while (now := time.monotonic()) < over:
        workers = [pid for pid in server.workers() if pid not in killed]
        if workers:
            victim = chance.choice(workers)
            killed[victim] = now
            server.kill(victim, signal.SIGKILL)
        time.sleep(max(0.0, now + KILL_SECONDS - time.monotonic()))
    return killed


def takers(server: Deployed) -> dict[int, list[tuple[float, int]]]:
    """When each client's port was taken, and by which worker."""
    found: dict[int, list[tuple[float, int]]] = defaultdict(list)
    for line in (server.directory / "taken").read_text().splitlines():
        when, pid, port = line.split()
        found[int(port)].append((float(when), int(pid)))
    return found


def is_excused(asked: Asked, taken: dict[int, list[tuple[float, int]]], killed: dict[int, float]) -> bool:
    """Whether a worker that was killed had taken the connection."""
    window = [pid for when, pid in taken[asked.port] if asked.began <= when <= asked.ended + HEARD_SECONDS]
    return bool(window) and window[-1] in killed


def storm(side: Side, options: Options) -> list[Outcome]:
    """What failed, what of it nobody had taken, and the service meanwhile."""
    seconds = 8.0 if options.quick else 60.0
    with server_of(side, WORKERS) as server:
        with Askers(server.port, CLIENTS, PAUSE) as askers:
            time.sleep(1.0)
            killed = kill_for(server, seconds, random.Random(1))
        taken = takers(server)
        alive = os.path.exists(f"/proc/{server.pid}")
    failed = askers.failures
    others = [one for one in failed if not is_excused(one, taken, killed)]
    reasons = ", ".join(f"{count} x {reason}" for reason, count in Counter(one.failure for one in others).items())
    answered = [one for one in askers.asked if not one.failure]
    return [
        Outcome(f"{len(failed)} of {len(askers.asked)}, {len(killed)} kills"),
        Outcome(f"{len(others)}" + (f" ({reasons})" if others else ""), judge(not others and alive)),
        Outcome(f"{len(answered) / seconds:.0f} answers a second, p99 {percentile(answered, 0.99) * 1000:.0f} ms"),
    ]
