"""Measure Socket.IO on several workers: broadcasts beside Redis and Node's adapter, and what a second worker gives.

    npm install --prefix DIR socket.io@4.8.4 socket.io-client@4.8.4 \\
        @socket.io/sticky@2.0.1 @socket.io/cluster-adapter@0.3.0
    python bench/socketio/run.py DIR [--rounds 5] [--emits 3000] [--only broadcast|scaling]

Broadcasts go from one of four workers to a room with a client of each.  All servers stand while they are measured, one
after the other in each round.  Printed are medians: emits a second, until the last client has heard the last one, in
order; and the CPU that all processes of the server (Redis among them) take for each emit, which a busy machine hardly
changes.
"""

from __future__ import annotations

import argparse
import contextlib
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

HERE = Path(__file__).parent
sys.path.insert(0, str(HERE.parent))

from procfs import exact_session_cpu_seconds  # noqa: E402
from sessions import free_port  # noqa: E402

BYTES = (20, 2000)
CLIENTS, EVENTS, SECONDS = 40, 25, 0.005
PATIENCE = 60.0
ATTEMPTS = 3


def answers(port: int) -> bool:
    with socket.socket() as probe:
        return probe.connect_ex(("127.0.0.1", port)) == 0


class Servers:
    """Servers, each in a session of its own, and the clients that measure them."""

    def __init__(self, modules: Path, stack: contextlib.ExitStack) -> None:
        self.environment = {**os.environ, "NODE_PATH": str(modules / "node_modules")}
        self.folder = stack.enter_context(tempfile.TemporaryDirectory())
        self.stack = stack

    def start(self, command: list[str], port: int, **env: str) -> int:
        """Start a server, and return its session."""
        process = subprocess.Popen(
            command,
            cwd=HERE,
            env={**self.environment, **env},
            stdout=subprocess.DEVNULL,
            stderr=subprocess.DEVNULL,
            start_new_session=True,
        )
        self.stack.callback(self.end, process)
        until = time.monotonic() + PATIENCE
        while not answers(port):
            if process.poll() is not None or time.monotonic() > until:
                raise SystemExit(f"{command[0]} does not listen")
            time.sleep(0.05)
        return process.pid

    def end(self, process: subprocess.Popen[bytes]) -> None:
        process.terminate()
        process.wait()

    def redis(self) -> tuple[int, str]:
        port = free_port()
        options = ["--port", str(port), "--bind", "127.0.0.1", "--save", "", "--dir", self.folder]
        return self.start(["redis-server", *options], port), f"redis://127.0.0.1:{port}"

    def python(self, workers: int, **env: str) -> tuple[str, int]:
        """Start ours; the manager is that of the environment."""
        port = free_port()
        options = ["-k", "nodecluster_compat.Worker", "-w", str(workers), "-b", f"127.0.0.1:{port}", "app:app"]
        session = self.start([sys.executable, "-m", "gunicorn", *options], port, **env)
        return f"http://127.0.0.1:{port}", session

    def node(self) -> tuple[str, int]:
        port = free_port()
        return f"http://127.0.0.1:{port}", self.start(["node", "server.js", str(port)], port)

    def ask(self, program: str, *arguments: object) -> float:
        """Run a client; return the rate that it prints."""
        command = ["node", str(HERE / program), *map(str, arguments)]
        for _ in range(ATTEMPTS):
            ran = subprocess.run(command, env=self.environment, capture_output=True, text=True, check=False)
            if not ran.returncode:
                return float(ran.stdout)
            print(f"{program} {arguments[0]}: {ran.stderr.strip()}", file=sys.stderr)
        raise SystemExit(f"{program} has failed {ATTEMPTS} times")


@contextlib.contextmanager
def servers_with(modules: Path) -> Iterator[Servers]:
    with contextlib.ExitStack() as stack:
        yield Servers(modules, stack)


def alternate(rounds: int, measures: dict[str, Callable[[], tuple[float, ...]]]) -> dict[str, list[float]]:
    """Measure each in turn, round after round, the first of which warms up; return the medians."""
    results: dict[str, list[tuple[float, ...]]] = {name: [] for name in measures}
    for _ in range(rounds + 1):
        for name, measure in measures.items():
            results[name].append(measure())
    return {name: [statistics.median(column) for column in zip(*rows[1:])] for name, rows in results.items()}  # noqa: B905


def broadcasts(modules: Path, rounds: int, emits: int) -> None:
    with servers_with(modules) as servers:
        running = {"ClusterManager": (*servers.python(4, MANAGER="cluster"), 0)}
        if shutil.which("redis-server"):
            redis, url = servers.redis()
            running["RedisManager"] = (*servers.python(4, MANAGER="redis", REDIS=url), redis)
        if (modules / "node_modules" / "@socket.io" / "cluster-adapter").exists():
            running["Node's cluster adapter"] = (*servers.node(), 0)
        for size in BYTES:
            report_broadcasts(servers, running, rounds, emits, size)


def report_broadcasts(
    servers: Servers, running: dict[str, tuple[str, int, int]], rounds: int, emits: int, size: int
) -> None:
    def flood(url: str, *sessions: int) -> tuple[float, float]:
        watched = [one for one in sessions if one]
        before = sum(map(exact_session_cpu_seconds, watched))
        rate = servers.ask("flood.js", url, emits, size)
        return rate, (sum(map(exact_session_cpu_seconds, watched)) - before) / emits * 1e6

    measures = {name: (lambda where=where: flood(*where)) for name, where in running.items()}
    medians = alternate(rounds, measures)
    own_rate, own_cost = medians["ClusterManager"]
    for name, (rate, cost) in medians.items():
        print(
            f"{size:5} bytes  {name:24}{rate:7.0f} emits/s {cost:6.0f} µs of CPU each   "
            f"ClusterManager: {own_rate / rate:.2f} x the rate, {own_cost / cost:.2f} x the CPU",
            flush=True,
        )


def scaling(modules: Path, rounds: int) -> None:
    with servers_with(modules) as servers:
        urls = {count: servers.python(count, MANAGER="cluster")[0] for count in (1, 2)}
        measures = {
            f"-w {count}": (lambda url=url: (servers.ask("burn.js", url, CLIENTS, EVENTS, SECONDS),))
            for count, url in urls.items()
        }
        medians = alternate(rounds, measures)
    (one,), (two,) = medians.values()
    print(f"{SECONDS * 1000:.0f} ms of CPU each: -w 1 {one:.0f} events/s, -w 2 {two:.0f} events/s, {two / one:.2f} x")


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("modules", type=Path, help="where npm has installed Socket.IO")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--emits", type=int, default=3000)
    parser.add_argument("--only", choices=["broadcast", "scaling"])
    options = parser.parse_args()
    modules = options.modules.resolve()
    if options.only != "scaling":
        broadcasts(modules, options.rounds, options.emits)
    if options.only != "broadcast":
        scaling(modules, options.rounds)


if __name__ == "__main__":
    main()
