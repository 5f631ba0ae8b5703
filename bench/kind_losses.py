"""Count the requests that fail while workers come and go: by HUP, TTIN, TTOU, and by their own limits."""

from __future__ import annotations

import contextlib
import os
import signal
import time
from collections.abc import Callable, Iterator, Sequence

from figures import Options, judge
from gunicorns import Server, Side
from kind_sides import OURS, STOCK, Row, server
from load import Load

STEP_SECONDS = 2.0


def hup(one: Server, step: int) -> None:
    """A reload at every step."""
    one.send_signal(signal.SIGHUP)


def more_and_less(one: Server, step: int) -> None:
    """TTIN and TTOU by turns."""
    one.send_signal(signal.SIGTTOU if step % 2 else signal.SIGTTIN)


def nothing(one: Server, step: int) -> None:
    """Workers go by themselves."""


WAYS: Sequence[tuple[str, Callable[[Server, int], None], tuple[str, ...]]] = (
    ("HUP", hup, ()),
    ("TTIN and TTOU", more_and_less, ()),
    ("`max_requests = 50`", nothing, ("--max-requests", "50")),
    ("`max_worker_requests = 50`", nothing, ()),
)


def changes(options: Options) -> list[Row]:
    """Twelve clients, kept alive and closing, while workers come and go."""
    rows = []
    for title, act, extra in WAYS:
        found: dict[Side, list[str]] = {OURS: [], STOCK: []}
        failures = 0
        for side in (OURS, STOCK):
            if side is STOCK and "worker" in title:
                continue
            for _ in range(options.scaled(5, 1)):
                failed, asked = failed_of(side, act, options, "worker" in title, *extra)
                found[side].append(f"{failed}/{asked}")
                failures += failed if side is OURS else 0
        mine, theirs = (", ".join(found[side]) or "n/a" for side in (OURS, STOCK))
        rows.append(Row(f"{title}: failed of all", mine, theirs, "0 failed", judge(not failures)))
    return rows


def failed_of(
    side: Side, act: Callable[[Server, int], None], options: Options, recycles: bool, *extra: str
) -> tuple[int, int]:
    """How many requests failed, and how many there were."""
    environment = {"BENCH_RECYCLED_AFTER": "50"} if recycles else {}
    with environ(environment), server(side, 2, "--keep-alive", "5", *extra) as one:
        loads = [Load(one.port, 6, keep_alive=keep_alive, pause=0.05) for keep_alive in (True, False)]
        with loads[0], loads[1]:
            for step in range(options.scaled(5, 1)):
                time.sleep(STEP_SECONDS)
                act(one, step)
            time.sleep(STEP_SECONDS)
        return sum(len(load.failures) for load in loads), sum(len(load.records) for load in loads)


@contextlib.contextmanager
def environ(more: dict[str, str]) -> Iterator[None]:
    """Have these variables meanwhile."""
    os.environ.update(more)
    try:
        yield
    finally:
        for name in more:
            del os.environ[name]
