"""Clients that keep a connection, pause, and send without looking, while workers come and go."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable

from figures import NOTHING, Options, Outcome, judge
from gunicorns import OURS, Server, Side
from load import Load

__all__ = ["kept_alive"]

WORKERS = 2
PAUSES = (0.6, 1.2, 1.7)
CLIENTS = 4  # for each pause
SECONDS = 12.0
STEP_SECONDS = 2.0
KEEPALIVE = ("--keep-alive", "5")


def hup(server: Server, step: int) -> None:
    """A reload at every step."""
    server.send_signal(signal.SIGHUP)


def more_and_less(server: Server, step: int) -> None:
    """TTIN and TTOU by turns."""
    server.send_signal(signal.SIGTTOU if step % 2 else signal.SIGTTIN)


def nothing(server: Server, step: int) -> None:
    """Workers go by themselves."""


def measured(side: Side, seconds: float, act: Callable[[Server, int], None], *options: str) -> Outcome:
    """Failed requests of these clients."""
    with Server(side, WORKERS, *KEEPALIVE, *options) as server, contextlib.ExitStack() as stack:
        loads = [stack.enter_context(Load(server.port, CLIENTS, keep_alive=True, pause=pause)) for pause in PAUSES]
        end = time.monotonic() + seconds
        step = 0
        while time.monotonic() < end:
            time.sleep(STEP_SECONDS)
            act(server, step)
            step += 1
        stack.close()
        failed, asked = (sum(len(found) for found in part) for part in zip(*map(_counted, loads), strict=True))
    return Outcome(f"{failed} of {asked} failed", judge(not failed))


def _counted(load: Load) -> tuple[list[object], list[object]]:
    return [*load.failures], [*load.records]


def kept_alive(side: Side, options: Options) -> list[Outcome]:
    """One outcome for each way in which workers go; recycling is ours alone."""
    seconds = options.scaled(6, 2) * STEP_SECONDS
    found = [
        measured(side, seconds, hup),
        measured(side, seconds, more_and_less),
        measured(side, seconds, nothing, "--max-requests", "20"),
    ]
    return [*found, _recycled(side, seconds)]


def _recycled(side: Side, seconds: float) -> Outcome:
    if side != OURS:
        return Outcome(NOTHING)
    os.environ["BENCH_RECYCLED_AFTER"] = "20"
    try:
        return measured(side, seconds, nothing)
    finally:
        del os.environ["BENCH_RECYCLED_AFTER"]
