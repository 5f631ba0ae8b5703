"""Check how soon clients go on when their worker ends, and how long pages take meanwhile."""

from __future__ import annotations

import itertools
import os
import signal
import subprocess
import sys
import threading
import time
import urllib.request
from collections.abc import Callable
from functools import partial
from pathlib import Path
from typing import Final

HERE: Final = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))
sys.path.insert(0, str(HERE))

from fronts import Running, running  # noqa: E402
from setups import Setup  # noqa: E402

MOST_SECONDS: Final = {"killed": 2.0, "told to end": 3.0, "reloaded": 3.0}
MOST_LATENCY: Final = 0.2


class Pages(threading.Thread):
    """Loads pages while something ends.

    Attributes:
        worst: how long one took, in seconds.
        failed: how many got no answer.
    """

    def __init__(self, url: str) -> None:
        super().__init__()
        self.url, self.worst, self.failed, self.is_over = url, 0.0, 0, False

    def run(self) -> None:
        while not self.is_over:
            began = time.monotonic()
            try:
                with urllib.request.urlopen(self.url, timeout=30) as answer:
                    answer.read()
            except OSError:
                self.failed += 1
            self.worst = max(self.worst, time.monotonic() - began)
            time.sleep(0.02)


def ends(modules: Path, clients: int) -> bool:
    """How soon clients go on."""
    actions: dict[str, Callable[[int, int], None]] = {
        "killed": lambda _, worker: os.kill(worker, signal.SIGKILL),
        "told to end": lambda _, worker: os.kill(worker, signal.SIGTERM),
        "reloaded": lambda primary, _: os.kill(primary, signal.SIGHUP),
    }
    is_right = True
    for (what, act), transport in itertools.product(actions.items(), ("polling", "websocket")):
        with running(modules) as servers:
            url, primary = servers.serve(Setup())
            seconds, pages = returned(servers, url, transport, clients, partial(act, primary), what)
        print(
            f"ends: {what}, {transport}: {clients} clients go on within {seconds:.2f} s, "
            f"no page took more than {pages.worst * 1000:.0f} ms, {pages.failed} failed",
            flush=True,
        )
        is_right = is_right and seconds < MOST_SECONDS[what]
        if what != "killed":  # which takes with it what that worker was answering
            is_right = is_right and not pages.failed and (what != "reloaded" or pages.worst < MOST_LATENCY)
    return is_right


def returned(
    servers: Running, url: str, transport: str, clients: int, act: Callable[[int], None], what: str
) -> tuple[float, Pages]:
    command = ["node", str(HERE / "returning.js"), url, transport, str(clients)]
    with subprocess.Popen(
        command, env=servers.environment, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
    ) as program:
        assert program.stdin is not None
        assert program.stdout is not None
        worker = program.stdout.readline().split()[1]
        pages = Pages(url)
        pages.start()
        program.stdin.write("all\n" if what == "reloaded" else f"{worker}\n")
        program.stdin.flush()
        try:
            act(int(worker))
            seconds = float(program.stdout.readline())
        finally:
            pages.is_over = True
            pages.join()
    return seconds, pages
