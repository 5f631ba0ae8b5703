"""Reloads with an application that takes 4 s to import, and a reload of one that does not import at all."""

from __future__ import annotations

import json
import signal
import time

from figures import NOTHING, Options, Outcome, judge
from gunicorns import OURS, Side
from survivors import Askers, Deployed, percentile

__all__ = ["broken", "slow_reloads"]

WORKERS = 2
CLIENTS = 4
PAUSE = 0.01
IMPORT = "import time; time.sleep(4)"
QUIET_SECONDS = 8.0
SPREAD_SECONDS = 0.05
WATCH_SECONDS = 6.0


def reload(server: Deployed) -> None:
    """HUP, and wait until it is over: as many new workers listen, and ours has said so."""
    began = time.monotonic()
    server.send_signal(signal.SIGHUP)
    if server.side == OURS:
        server.wait_for("reload", 1, began, 60.0)
    else:
        server.wait_for("listening", WORKERS, began, 60.0)
        time.sleep(0.5)  # until the old ones have gone


def slow_reloads(side: Side, options: Options) -> list[Outcome]:
    """Failed requests and the 99th percentile, beside that of a quiet server."""
    times = options.scaled(20, 2)
    with Deployed(side, WORKERS) as server:
        server.deploy(at_import=IMPORT)
        with Askers(server.port, CLIENTS, PAUSE) as quiet:
            time.sleep(QUIET_SECONDS)
        with Askers(server.port, CLIENTS, PAUSE) as askers:
            for _ in range(times):
                reload(server)
        succeeded = server.states(0.0).count("succeeded") if side == OURS else times
    before, during = percentile(quiet.asked, 0.99), percentile(askers.asked, 0.99)
    longest = max(one.seconds for one in askers.asked)
    met = not askers.failures and succeeded == times
    return [
        Outcome(f"{len(askers.failures)} of {len(askers.asked)} failed, {succeeded} of {times} succeeded", judge(met)),
        Outcome(
            f"p99 {before * 1000:.0f} ms quiet, {during * 1000:.0f} ms during, longest {longest * 1000:.0f} ms",
            judge(during - before <= SPREAD_SECONDS),
        ),
    ]


def broken(side: Side, options: Options) -> list[Outcome]:
    """A deployment that does not import, and HUP: who answers, and what the status says."""
    with Deployed(side, WORKERS) as server:
        server.deploy(version="1", at_import="raise ImportError('broken on purpose')")
        with Askers(server.port, CLIENTS, PAUSE) as askers:
            time.sleep(0.5)
            server.send_signal(signal.SIGHUP)
            time.sleep(WATCH_SECONDS)
        path = server.directory / "status.json"
        status = json.loads(path.read_text())["reload"] if path.exists() else None
    failed = len(askers.failures)
    versions = {one.body for one in askers.asked if not one.failure}
    told = f"{status['state']}: {status['reason']}" if status else NOTHING
    return [
        Outcome(
            f"{failed} of {len(askers.asked)} failed, answered by version {', '.join(versions)}", judge(not failed)
        ),
        Outcome(told, judge(status is not None and status["state"] == "failed")),
    ]
