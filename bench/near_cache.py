"""What it brings to cache hot keys locally: reads of a store on Redis, alternating with reads that ask it.

    python bench/near_cache.py [--rounds 5]

Prints medians: reads a second of one process, and of the same while another process changes such keys all the time.
"""

from __future__ import annotations

import argparse
import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Callable
from pathlib import Path

from sharing import free_port, wait_for

from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.store import Store

READS = 5000
KEYS = [f"hot:{number}" for number in range(100)]

WRITE = """
import sys, time
from nodecluster_compat.sharing.redis_engine import RedisEngine
from nodecluster_compat.sharing.server import Server
from nodecluster_compat.sharing.store import Store
store = Store(lambda: RedisEngine(Server(sys.argv[1]), "bench"))
number = 0
while True:
    number += 1
    store.set(f"hot:{number % 100}", {"number": number})
    time.sleep(0.01)
"""


def store_of(url: str, *prefixes: str) -> Store:
    store = Store(lambda: RedisEngine(Server(url), "bench"))
    store.cache_locally(*prefixes)
    return store


def reads_a_second(get: Callable[[str], object]) -> float:
    began = time.perf_counter()
    for number in range(READS):
        get(KEYS[number % len(KEYS)])
    return READS / (time.perf_counter() - began)


def main() -> None:
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--rounds", type=int, default=5)
    rounds = parser.parse_args().rounds
    port = free_port()
    url = f"redis://127.0.0.1:{port}"
    with tempfile.TemporaryDirectory() as folder:
        (Path(folder) / "write.py").write_text(WRITE)
        server = subprocess.Popen(["redis-server", "--port", str(port), "--save", ""], stdout=subprocess.DEVNULL)
        try:
            wait_for(port)
            measure(url, [sys.executable, str(Path(folder) / "write.py"), url], rounds)
        finally:
            server.kill()
            server.wait()


def measure(url: str, writer: list[str], rounds: int) -> None:
    asks, keeps = store_of(url), store_of(url, "hot:")
    asks.set_many({key: {"number": 0} for key in KEYS})
    found: dict[str, list[float]] = {"asked": [], "from memory": [], "asked, changing": [], "from memory, changing": []}
    for _ in range(rounds):
        for what, store in (("asked", asks), ("from memory", keeps)):
            found[what].append(reads_a_second(store.get))
        writing = subprocess.Popen(writer)
        time.sleep(0.5)
        for what, store in (("asked, changing", asks), ("from memory, changing", keeps)):
            found[what].append(reads_a_second(store.get))
        writing.kill()
        writing.wait()
    for what, rates in found.items():
        print(f"{what:24} {statistics.median(rates):10.0f} reads/s")
    for store in (asks, keeps):
        store.leave()


if __name__ == "__main__":
    main()
