"""SIGKILL of the primary at many moments: when the last process has gone, and whether the address is free then."""

from __future__ import annotations

import random
import signal
import socket
import threading
import time
from collections.abc import Callable

from figures import Options, Outcome, judge, milliseconds
from gunicorns import Side
from load import try_once
from survivors import HOST, NODE, Askers, Deployed, server_of

__all__ = ["killed_primary"]

WORKERS = 3
GONE_SECONDS = 1.0
LIMIT = 40.0
COMPUTES = "import time; end = time.monotonic() + 15\nwhile time.monotonic() < end: pass"
SLEEPS = "import time; time.sleep(15)"


def while_booting(server: Deployed, source: str) -> None:
    server.deploy(at_import=source)
    for pid in server.workers():
        server.kill(pid, signal.SIGKILL)


def while_reloading(server: Deployed) -> None:
    server.deploy(at_import=SLEEPS)
    server.send_signal(signal.SIGHUP)


def while_draining(server: Deployed) -> None:
    for _ in range(WORKERS):
        threading.Thread(target=try_once, args=(server.port, "/sleep/15"), daemon=True).start()
    time.sleep(0.2)
    for pid in server.workers():
        server.kill(pid, signal.SIGTERM)


def while_stopping(server: Deployed) -> None:
    threading.Thread(target=try_once, args=(server.port, "/sleep/15"), daemon=True).start()
    time.sleep(0.2)
    server.send_signal(signal.SIGTERM)


MOMENTS: dict[str, Callable[[Deployed], None]] = {
    "boot": lambda server: while_booting(server, SLEEPS),
    "boot that computes": lambda server: while_booting(server, COMPUTES),
    "load": lambda server: None,
    "reload": while_reloading,
    "drain": while_draining,
    "shutdown": while_stopping,
}


def sample(side: Side, prepare: Callable[[Deployed], None], chance: random.Random) -> tuple[float, bool]:
    """Kill it a moment later; seconds until it is gone, and whether the address can be bound at once."""
    with server_of(side, WORKERS) as server, Askers(server.port, 2, 0.01):
        prepare(server)
        time.sleep(chance.random() * 0.5)
        server.send_signal(signal.SIGKILL)
        gone = server.seconds_until_gone(LIMIT)
        with socket.socket() as sock:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_REUSEADDR, 1)
            try:
                sock.bind((HOST, server.port))
                sock.listen()
            except OSError:
                return gone or LIMIT, False
    return LIMIT if gone is None else gone, True


def killed_primary(side: Side, options: Options) -> list[Outcome]:
    """Several samples of each moment."""
    chance = random.Random(1)
    moments = {"load": MOMENTS["load"]} if side == NODE else MOMENTS
    times: dict[str, float] = {}
    total, free = 0, 0
    for name, prepare in moments.items():
        for _ in range(options.scaled(4, 1)):
            seconds, is_free = sample(side, prepare, chance)
            times[name] = max(times.get(name, 0.0), seconds)
            total, free = total + 1, free + is_free
    text = ", ".join(f"{name} {milliseconds(seconds)}" for name, seconds in times.items())
    return [
        Outcome(f"{total} samples, longest at {text}", judge(max(times.values()) < GONE_SECONDS)),
        Outcome(f"{free} of {total}", judge(free == total)),
    ]
