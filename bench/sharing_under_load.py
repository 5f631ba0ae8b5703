"""What sharing does to connections, and what a Redis that is started again does to sharing.

    python bench/sharing_under_load.py [--rounds 5] [--without-redis]

First: a new connection for each request, one after the other, in alternating rounds: idle; topics saturated (a worker
publishes as fast as it can, and all workers hear it); the store saturated (two processes write as fast as they can);
and, for what the machine itself makes of that, as many processes that only compute: two, as write; five, as publish,
hear and pass on.  Prints medians of p50 and p99.

Second: two clusters on one Redis, whose workers count in the store and publish all the time.  Redis is killed and, half
a second later, started again.  Prints how long after it listens counts and messages of the other cluster go on.
"""

from __future__ import annotations

import argparse
import contextlib
import http.client
import os
import shutil
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable, Iterator
from pathlib import Path

from sharing import fetch, free_port, wait_for

REQUESTS = 1500
WORKERS = 4

APP = """
import json, os, time
import gevent
from nodecluster_compat import cluster

heard = 0

@cluster.bus.subscribe("load")
def hear(topic, message):
    global heard
    heard += 1

def publish():
    while not os.path.exists("stop"):
        for _ in range(20):
            cluster.bus.publish("load", b"x" * 100)
        time.sleep(0)

WORK = {"/": lambda: heard, "/publish": lambda: bool(gevent.spawn(publish))}

def app(environ, start_response):
    body = json.dumps(WORK[environ["PATH_INFO"]]()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

WRITE = """
import sys
from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
from nodecluster_compat.sharing.store import Store
store = Store(lambda: LmdbEngine(lambda: sys.argv[1]))
while True:
    store.incr("n")
"""

COMPUTE = [sys.executable, "-c", "while True: pass"]

FAR_APP = """
import json, os, time
import gevent
from nodecluster_compat import cluster

ME = os.environ["ME"]
seen = {"counted": 0.0, "heard": 0.0, "store errors": 0, "other errors": 0, "longest": 0.0}

@cluster.bus.subscribe("load.*")
def hear(topic, message):
    if topic != "load." + ME:
        seen["heard"] = time.monotonic()

def count():
    while True:
        began = time.monotonic()
        try:
            cluster.store.incr("n")
            seen["counted"] = time.monotonic()
        except Exception as error:
            seen["store errors" if type(error).__name__ == "StoreUnavailable" else "other errors"] += 1
        seen["longest"] = max(seen["longest"], time.monotonic() - began)
        time.sleep(0.002)

def publish():
    while True:
        try:
            cluster.bus.publish("load." + ME, 1)
        except Exception:
            seen["other errors"] += 1
        time.sleep(0.002)

for work in (count, publish):
    gevent.spawn(work)

def app(environ, start_response):
    body = json.dumps(seen).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""


@contextlib.contextmanager
def cluster(folder: Path, app: str, workers: int, **env: str) -> Iterator[int]:
    folder.mkdir(exist_ok=True)
    (folder / "load_app.py").write_text(app)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "nodecluster_compat.Worker", "-w", str(workers)]
    command += ["-b", f"127.0.0.1:{port}", "load_app:app"]
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=os.environ | env, stderr=log, stdout=log)
        try:
            wait_for(port)
            time.sleep(2)  # until every worker listens
            yield port
        finally:
            process.terminate()
            process.wait()


def times(port: int) -> tuple[float, float]:
    """p50 and p99 in milliseconds, from before the connection until after its answer."""
    found = []
    for _ in range(REQUESTS):
        began = time.perf_counter()
        connection = http.client.HTTPConnection("127.0.0.1", port)
        connection.request("GET", "/", headers={"Connection": "close"})
        connection.getresponse().read()
        connection.close()
        found.append((time.perf_counter() - began) * 1000)
    found.sort()
    return found[len(found) // 2], found[int(len(found) * 0.99)]


@contextlib.contextmanager
def processes(command: list[str], count: int = 2) -> Iterator[None]:
    running = [subprocess.Popen(command) for _ in range(count)]
    time.sleep(0.5)
    try:
        yield
    finally:
        for one in running:
            one.kill()
            one.wait()


@contextlib.contextmanager
def publishing(folder: Path, port: int) -> Iterator[None]:
    (folder / "stop").unlink(missing_ok=True)
    fetch(port, "/publish")
    try:
        yield
    finally:
        (folder / "stop").touch()
        time.sleep(0.5)


def connections(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as place, tempfile.TemporaryDirectory(dir="/dev/shm") as memory:
        folder = Path(place)
        with cluster(folder, APP, WORKERS) as port:
            conditions: dict[str, Callable[[], contextlib.AbstractContextManager[None]]] = {
                "idle": contextlib.nullcontext,
                "topics saturated": lambda: publishing(folder, port),
                "store saturated": lambda: processes([sys.executable, "-c", WRITE, memory]),
                "two processes compute": lambda: processes(COMPUTE),
                "five processes compute": lambda: processes(COMPUTE, 5),
            }
            found: dict[str, list[tuple[float, float]]] = {name: [] for name in conditions}
            for _ in range(rounds):
                for name, condition in conditions.items():
                    with condition():
                        found[name].append(times(port))
    idle = statistics.median(p99 for _, p99 in found["idle"])
    for name, measured in found.items():
        p50, p99 = (statistics.median(values) for values in zip(*measured, strict=True))
        print(f"{name:24} p50 {p50:7.2f} ms   p99 {p99:7.2f} ms   {p99 / idle:5.2f} x idle")


@contextlib.contextmanager
def redis(port: int) -> Iterator[subprocess.Popen[bytes]]:
    process = subprocess.Popen(
        ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"], stdout=subprocess.DEVNULL
    )
    try:
        wait_for(port)
        yield process
    finally:
        process.kill()
        process.wait()


def resumed(ports: list[int], since: float, what: str) -> float:
    while True:
        seen = [fetch(port, "/")[what] for port in ports]
        if all(at > since for at in seen):
            return max(seen) - since
        time.sleep(0.01)


def restart(rounds: int) -> None:
    with tempfile.TemporaryDirectory() as place, contextlib.ExitStack() as stack:
        port = free_port()
        url = f"redis://127.0.0.1:{port}"
        server = stack.enter_context(contextlib.ExitStack())
        server.enter_context(redis(port))
        ports = [
            stack.enter_context(cluster(Path(place, me), FAR_APP, 1, ME=me, NODECLUSTER_BUS=url)) for me in ("a", "b")
        ]
        time.sleep(2)
        found: dict[str, list[float]] = {"counted": [], "heard": []}
        for _ in range(rounds):
            server.close()
            time.sleep(0.5)
            server.enter_context(redis(port))
            since = time.monotonic()
            for what, times_of in found.items():
                times_of.append(resumed(ports, since, what))
            time.sleep(2)
        for what, measured in found.items():
            print(f"{what} again after  {statistics.median(measured):5.2f} s, at most {max(measured):5.2f} s")
        for one in ports:
            print({name: value for name, value in fetch(one, "/").items() if name not in found})


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-redis", action="store_true")
    options = parser.parse_args()
    connections(options.rounds)
    if not options.without_redis and shutil.which("redis-server") is not None:
        restart(options.rounds)


if __name__ == "__main__":
    main()
