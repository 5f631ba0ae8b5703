"""Clients that never stop asking, and say what went wrong: the load under which reloads and faults are tested."""

from __future__ import annotations

import threading
import time
from collections import Counter
from collections.abc import Iterator
from contextlib import contextmanager
from typing import Any

from pytest_cluster import Cluster

__all__ = ["Load", "load_on"]


class Load:
    """What the clients saw."""

    def __init__(self) -> None:
        self.answers: Counter[Any] = Counter()
        self.failures: list[str] = []
        self.seconds: list[float] = []
        self._lock = threading.Lock()

    @property
    def count(self) -> int:
        """How many requests were made."""
        return len(self.seconds)

    def percentile(self, share: float) -> float:
        """Seconds that this share of the requests stayed below."""
        return sorted(self.seconds)[min(self.count - 1, int(share * self.count))]

    def note(self, answer: Any, failure: str | None, seconds: float) -> None:
        """One request has ended."""
        with self._lock:
            self.seconds.append(seconds)
            if failure is None:
                self.answers[answer] += 1
            else:
                self.failures.append(failure)


@contextmanager
def load_on(cluster: Cluster, clients: int = 3, timeout: float = 30.0) -> Iterator[Load]:
    """Keep so many clients asking, each request on a connection of its own, until the block ends."""
    load, over = Load(), threading.Event()

    def ask() -> None:
        while not over.is_set():
            start = time.monotonic()
            try:
                response = cluster.get("/", timeout=timeout)
                failure = None if response.status == 200 else f"status {response.status}"
                load.note(response.text, failure, time.monotonic() - start)
            except Exception as error:  # noqa: BLE001 - whatever it is, it is a failed request
                load.note(None, repr(error), time.monotonic() - start)

    threads = [threading.Thread(target=ask) for _ in range(clients)]
    for thread in threads:
        thread.start()
    try:
        yield load
    finally:
        over.set()
        for thread in threads:
            thread.join()
