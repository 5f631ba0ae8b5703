"""Measure what clients of the control socket cost: ``python bench/operators.py``.

One server, and in turn: nobody at its control socket; a hundred clients that are mute, send half a frame, or send
commands and never read; one that asks for the status again and again.  Meanwhile requests come, each on a connection of
its own.  Printed are the medians over the rounds: how long a request took, and the CPU time of the primary.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import socket
import statistics
import struct
import subprocess
import sys
import tempfile
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import AbstractContextManager
from pathlib import Path

APP = "def app(environ, start_response):\n    start_response('200 OK', [])\n    return [b'hello']\n"
CONF = """
from nodecluster_compat import cluster
bind, workers, worker_class = "unix:http", {workers}, "nodecluster_compat.Worker"
cluster.setup_primary(control_socket="ctl")
"""
REQUEST = b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n"
FRAME = json.dumps({"id": 1, "command": "cluster status"}).encode()
FRAME = struct.pack(">I", len(FRAME)) + FRAME


@contextlib.contextmanager
def serving(folder: Path, workers: int) -> Iterator[int]:
    """Run a server in a folder; gives the pid of its primary."""
    (folder / "bench_app.py").write_text(APP)
    (folder / "gunicorn.conf.py").write_text(CONF.format(workers=workers))
    command = [sys.executable, "-m", "gunicorn", "bench_app:app", "--log-level", "error"]
    with subprocess.Popen(command, cwd=folder) as server:
        while not (folder / "ctl").exists() or b'"ready":true' not in ask(folder, b"GET /readyz HTTP/1.1\r\n\r\n"):
            time.sleep(0.1)
        yield server.pid
        server.terminate()


def ask(folder: Path, request: bytes, path: str = "ctl") -> bytes:
    """Send a request to a socket of the server; return all of the answer."""
    with socket.socket(socket.AF_UNIX) as client:
        client.connect(str(folder / path))
        client.sendall(request)
        data = b""
        while part := client.recv(65536):
            data += part
        return data


def nobody(_: Path) -> AbstractContextManager[None]:
    return contextlib.nullcontext()


@contextlib.contextmanager
def hostile(folder: Path) -> Iterator[None]:
    """A hundred clients that cost what they can."""
    with contextlib.ExitStack() as stack:
        for number in range(100):
            client = stack.enter_context(socket.socket(socket.AF_UNIX))
            client.connect(str(folder / "ctl"))
            client.setblocking(False)
            with contextlib.suppress(BlockingIOError):
                client.send((b"", FRAME[:9], FRAME * 500)[number % 3])
        yield


@contextlib.contextmanager
def asking(folder: Path) -> Iterator[None]:
    """One client that asks for the status as fast as it is answered."""
    ends = threading.Event()

    def go_on() -> None:
        while not ends.is_set():
            ask(folder, b"GET /status.json HTTP/1.1\r\n\r\n")

    thread = threading.Thread(target=go_on)
    thread.start()
    yield
    ends.set()
    thread.join()


def cpu_of(pid: int) -> float:
    """Return the seconds of CPU time of a process, all its threads."""
    folder = Path(f"/proc/{pid}/task")
    return sum(int((task / "schedstat").read_text().split()[0]) for task in folder.iterdir()) / 1e9


def one_round(folder: Path, pid: int, requests: int) -> tuple[float, float, float]:
    """Return median and 99th percentile of the times of requests, and the CPU time of the primary for each, in ms."""
    times = []
    before = cpu_of(pid)
    for _ in range(requests):
        start = time.perf_counter()
        ask(folder, REQUEST, "http")
        times.append(time.perf_counter() - start)
    times.sort()
    used = (cpu_of(pid) - before) / requests
    return statistics.median(times) * 1e3, times[int(len(times) * 0.99)] * 1e3, used * 1e3


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--requests", type=int, default=1000)
    options = parser.parse_args()
    sides: dict[str, Callable[[Path], AbstractContextManager[None]]] = {
        "nobody": nobody,
        "a hundred that never read": hostile,
        "one that asks all the time": asking,
    }
    found: dict[str, list[tuple[float, float, float]]] = {name: [] for name in sides}
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder, 2) as pid:
            for _ in range(options.rounds):
                for side, clients in sides.items():
                    with clients(folder):
                        found[side].append(one_round(folder, pid, options.requests))
    print("| at the control socket | request, ms | p99, ms | CPU of the primary, ms a request |\n|---|---|---|---|")
    for side, rounds in found.items():
        medians = " | ".join(f"{statistics.median(column):.3f}" for column in zip(*rounds, strict=True))
        print(f"| {side} | {medians} |")
    print(status_cost())
    return 0


def status_cost() -> str:
    """Return what the status costs the primary of sixteen workers."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        with serving(folder, 16) as pid:
            costs = []
            for path in ("status.json", "metrics"):
                before, count = cpu_of(pid), 200
                for _ in range(count):
                    ask(folder, b"GET /%s HTTP/1.1\r\n\r\n" % path.encode())
                costs.append(f"/{path} {(cpu_of(pid) - before) / count * 1e3:.2f} ms")
    return f"of sixteen workers, CPU of the primary: {', '.join(costs)}"


if __name__ == "__main__":
    os.environ.pop("NODECLUSTER_CONTROL_SOCKET", None)
    sys.exit(main())
