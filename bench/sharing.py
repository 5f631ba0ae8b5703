"""What sharing costs: topics, requests to all, the store; beside redis-py and a local Redis, in alternating runs.

    python bench/sharing.py [--rounds 5] [--without-redis]

Prints medians.  A cluster of 8 workers (``-k nodecluster_compat.Worker``) for messages, processes for the store.
"""

from __future__ import annotations

import argparse
import contextlib
import json
import os
import shutil
import socket
import statistics
import subprocess
import sys
import tempfile
import time
import urllib.request
from collections.abc import Callable, Iterator
from functools import partial
from pathlib import Path
from typing import Any

from sessions import free_port

WORKERS = 8
MESSAGES = 3000
REQUESTS = 300
OPERATIONS = 20_000
CALLERS = 4

APP = f"""
import json, os, time
from nodecluster_compat import cluster, process

WORKERS, MESSAGES, REQUESTS = {WORKERS}, {MESSAGES}, {REQUESTS}
count = 0

@cluster.bus.subscribe("bench.*")
def hear(topic, message):
    global count
    count += 1
    if message == MESSAGES - 1:
        cluster.bus.publish("done", count)
        count = 0

ended = []

@cluster.bus.subscribe("done")
def done(topic, message):
    ended.append(message)

@process.on("request")
def answer(message, reply):
    reply(message)

if "REDIS" in os.environ:
    import gevent, redis
    client = redis.Redis(port=int(os.environ["REDIS"]))
    def listen():
        pubsub = client.pubsub(ignore_subscribe_messages=True)
        pubsub.psubscribe("bench.*")
        seen = 0
        for message in pubsub.listen():
            if message["type"] != "pmessage":
                continue
            seen += 1
            if json.loads(message["data"]) == MESSAGES - 1:
                client.publish("done", seen)
                seen = 0
    gevent.spawn(listen)

def publish():
    ended.clear()
    began = time.perf_counter()
    for number in range(MESSAGES):
        cluster.bus.publish("bench.x", number)
        if number % 200 == 0:
            time.sleep(0)
    while len(ended) < WORKERS:
        time.sleep(0.001)
    return WORKERS * MESSAGES / (time.perf_counter() - began), sum(ended)

def publish_redis():
    pubsub = client.pubsub(ignore_subscribe_messages=True)
    pubsub.subscribe("done")
    pubsub.get_message(timeout=1)
    began = time.perf_counter()
    for number in range(MESSAGES):
        client.publish("bench.x", json.dumps(number))
    heard = []
    while len(heard) < WORKERS:
        message = pubsub.get_message(timeout=10)
        if message:
            heard.append(int(message["data"]))
    pubsub.close()
    return WORKERS * MESSAGES / (time.perf_counter() - began), sum(heard)

def ask():
    times = []
    for number in range(REQUESTS):
        began = time.perf_counter()
        assert len(cluster.bus.request(cluster.bus.ALL, number)) == WORKERS
        times.append((time.perf_counter() - began) * 1000)
    times.sort()
    return times[len(times) // 2], times[int(len(times) * 0.99)]

WORK = {{"/publish": publish, "/publish-redis": publish_redis, "/ask": ask}}

def app(environ, start_response):
    body = json.dumps(WORK[environ["PATH_INFO"]]()).encode()
    start_response("200 OK", [("Content-Length", str(len(body)))])
    return [body]
"""

CALLER = """
import sys, time
operations, kind, verb, where = int(sys.argv[1]), sys.argv[2], sys.argv[3], sys.argv[4]
if kind == "store":
    from nodecluster_compat.sharing.lmdb_engine import LmdbEngine
    from nodecluster_compat.sharing.store import Store
    store = Store(lambda: LmdbEngine(lambda: where))
else:
    import redis
    store = redis.Redis(port=int(where))
args = {"get": ("key",), "set": ("key", "x" * 100), "incr": ("n",)}[verb]
method = getattr(store, verb)
call = lambda: method(*args)
call()
print("ready", flush=True)
sys.stdin.readline()
began = time.perf_counter()
for _ in range(operations):
    call()
print(time.perf_counter() - began, flush=True)
"""


def wait_for(port: int) -> None:
    for _ in range(500):
        with contextlib.suppress(OSError), socket.create_connection(("127.0.0.1", port), 1):
            return
        time.sleep(0.02)
    raise SystemExit(f"nothing listens on {port}")


@contextlib.contextmanager
def redis_server() -> Iterator[int]:
    port = free_port()
    command = ["redis-server", "--port", str(port), "--save", "", "--appendonly", "no"]
    process = subprocess.Popen(command, stdout=subprocess.DEVNULL)
    try:
        wait_for(port)
        yield port
    finally:
        process.terminate()
        process.wait()


@contextlib.contextmanager
def cluster(folder: Path, redis: int | None) -> Iterator[int]:
    (folder / "bench_app.py").write_text(APP)
    port = free_port()
    command = [sys.executable, "-m", "gunicorn", "-k", "nodecluster_compat.Worker", "-w", str(WORKERS)]
    command += ["-b", f"127.0.0.1:{port}", "--timeout", "120", "bench_app:app"]
    environment = os.environ | ({} if redis is None else {"REDIS": str(redis)})
    with (folder / "log").open("w") as log:
        process = subprocess.Popen(command, cwd=folder, env=environment, stderr=log, stdout=log)
        try:
            wait_for(port)
            time.sleep(2)  # until every worker has subscribed
            yield port
        finally:
            process.terminate()
            process.wait()


def fetch(port: int, path: str) -> Any:
    with urllib.request.urlopen(f"http://127.0.0.1:{port}{path}", timeout=120) as answer:
        return json.load(answer)


def operations_a_second(kind: str, verb: str, where: str, callers: int) -> float:
    """All of them together."""
    command = [sys.executable, "-c", CALLER, str(OPERATIONS // callers), kind, verb, where]
    processes = [
        subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) for _ in range(callers)
    ]
    for one in processes:
        assert one.stdout is not None
        one.stdout.readline()
    began = time.perf_counter()
    for one in processes:
        assert one.stdin is not None
        one.stdin.write("go\n")
        one.stdin.flush()
    for one in processes:
        assert one.stdout is not None
        one.stdout.readline()
    seconds = time.perf_counter() - began
    for one in processes:
        one.communicate()
    return OPERATIONS // callers * callers / seconds


def medians(rounds: int, measures: dict[str, Callable[[], float]]) -> dict[str, float]:
    """One after the other, again and again, so that whatever else the machine does hits all."""
    found: dict[str, list[float]] = {name: [] for name in measures}
    for _ in range(rounds):
        for name, measure in measures.items():
            found[name].append(measure())
    return {name: statistics.median(values) for name, values in found.items()}


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__)
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--without-redis", action="store_true")
    options = parser.parse_args()
    with contextlib.ExitStack() as stack:
        folder = Path(stack.enter_context(tempfile.TemporaryDirectory()))
        memory = stack.enter_context(tempfile.TemporaryDirectory(dir="/dev/shm"))
        has_redis = not options.without_redis and shutil.which("redis-server") is not None
        redis = stack.enter_context(redis_server()) if has_redis else None
        port = stack.enter_context(cluster(folder, redis))
        measures: dict[str, Callable[[], float]] = {
            "deliveries/s, ours": lambda: fetch(port, "/publish")[0],
            "request to 8, p50 ms": lambda: fetch(port, "/ask")[0],
            "request to 8, p99 ms": lambda: fetch(port, "/ask")[1],
        }
        for verb, callers in (("get", 1), ("set", 1), ("incr", CALLERS)):
            name = f"{verb}/s, {callers} callers"
            measures[f"{name}, ours"] = partial(operations_a_second, "store", verb, memory, callers)
            if redis is not None:
                measures[f"{name}, redis-py"] = partial(operations_a_second, "redis", verb, str(redis), callers)
        if redis is not None:
            measures["deliveries/s, redis-py"] = lambda: fetch(port, "/publish-redis")[0]
        for name, value in medians(options.rounds, measures).items():
            print(f"{name:36} {value:12,.2f}")


if __name__ == "__main__":
    main()
