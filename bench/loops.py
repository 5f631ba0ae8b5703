"""A crash loop: how many workers are forked in its first 30 s, and how soon it is over when its cause has gone."""

from __future__ import annotations

import signal
import time

from figures import Options, Outcome, judge
from gunicorns import Side
from survivors import CLIENT_SECONDS, Deployed, ask

__all__ = ["crash_loop"]

WORKERS = 4
FORKS = 5
LOOP_SECONDS = 30.0
RECOVERY_SECONDS = 2.0
DIES = "import gevent, os; gevent.spawn_later(0.1, os._exit, 9)"


def crash_loop(side: Side, options: Options) -> list[Outcome]:
    """Workers that end 0.1 s after they have booted, all four of them."""
    seconds = LOOP_SECONDS / 5 if options.quick else LOOP_SECONDS
    with Deployed(side, WORKERS) as server:
        server.deploy(after_boot=DIES)
        began = time.monotonic()
        for pid in server.workers():
            server.kill(pid, signal.SIGKILL)
        time.sleep(seconds)
        forks = server.count("fork", began)
        server.deploy(after_boot="")
        repaired = time.monotonic()
        took = seconds_until_sound(server, repaired)
    return [
        Outcome(f"{forks} forks", judge(forks <= FORKS)),
        Outcome(f"{took:.2f} s", judge(took < RECOVERY_SECONDS)),
    ]


def seconds_until_sound(server: Deployed, repaired: float) -> float:
    """Until a worker that was started since answers, and goes on answering."""
    first = 0.0
    while time.monotonic() < repaired + 4 * CLIENT_SECONDS:
        asked = ask(server.port)
        if asked.failure or server.count("listening", repaired) == 0:
            first = 0.0
            time.sleep(0.01)
        else:
            first = first or asked.ended
            if asked.ended > first + 1.0:
                return first - repaired
            time.sleep(0.05)
    return float("inf")
