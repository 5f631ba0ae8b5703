"""A long run under mixed load, with reloads, recycling and kills, and whether anything grows meanwhile.

A kept-alive connection may end just as its client sends the next request, where that has waited for a processor for
``keepalive`` seconds.  Clients of HTTP send such a request again on another connection (RFC 9112, 9.3.1); so do those
here, and count it.  A connection that ends earlier has lost a request.

The first quarter is for warming up. What the second quarter saw is compared with the last: the primary's descriptors
and memory, those of the largest worker, and how long requests took. Workers come and go, so each sample has the
largest of them.
"""

from __future__ import annotations

import http.client
import os
import threading
import time
from collections import deque
from collections.abc import Callable
from contextlib import suppress
from dataclasses import dataclass
from itertools import cycle
from statistics import median
from typing import Final

from pytest_cluster import Cluster, ProcessGone

__all__ = ["Soak", "Table"]

CLIENTS: Final = 3
PAUSE: Final = 0.005
SAMPLES: Final = 40  # of each quarter
FLAT_KIB: Final = 1024
FLAT_SECONDS: Final = 0.02
PATHS: Final = ("/", "/talk", "/", "/slow")
KEPT_SECONDS: Final = 2.0  # gunicorn's ``keepalive``


class Client:
    """Asks one request after another, on one connection or on a new one for each.

    Args:
        address: of the server.
        keeps: whether the connection is kept.

    Attributes:
        late: how many requests came to a connection that had been idle for its time.
    """

    def __init__(self, address: tuple[str, int], keeps: bool) -> None:
        self.late = 0
        self._connection = http.client.HTTPConnection(*address, timeout=30)
        self._headers = {} if keeps else {"Connection": "close"}
        self._asked = 0.0  # when: the server cannot have waited longer than since then

    def ask(self, path: str) -> int:
        """Return the status of the answer.

        :raises OSError, http.client.HTTPException: there is none, and whoever has promised one is to blame.
        """
        is_reused, idle_since = self._connection.sock is not None, self._asked
        try:
            answer = self._begun(path)
        except ConnectionError:
            self.close()
            if not is_reused or time.monotonic() - idle_since < KEPT_SECONDS:
                raise
            self.late += 1
            answer = self._begun(path)
        answer.read()
        return answer.status

    def _begun(self, path: str) -> http.client.HTTPResponse:
        self._asked = time.monotonic()
        self._connection.request("GET", path, headers=self._headers)
        return self._connection.getresponse()

    def close(self) -> None:
        """Ask no more on this connection."""
        self._connection.close()


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes at one moment; memory in KiB."""

    when: float
    descriptors: int
    rss: int
    pss: int
    worker_descriptors: int
    worker_rss: int
    worker_pss: int


@dataclass(frozen=True, slots=True)
class Table:
    """What was seen: a title, the four quarters, and by how much the last may be above the second."""

    title: str
    quarters: tuple[float, float, float, float]
    slack: float

    @property
    def grew(self) -> bool:
        """Whether the last quarter is above the second."""
        return self.quarters[3] - self.quarters[1] > self.slack

    def __str__(self) -> str:
        numbers = " | ".join(f"{value:.4g}" for value in self.quarters)
        return f"| {self.title} | {numbers} | {'grew' if self.grew else 'flat'} |"


class Soak:
    """One run on a cluster of ``chatty:app``, of so many seconds."""

    def __init__(self, cluster: Cluster, seconds: float) -> None:
        self.failures: list[str] = []
        self.seconds = seconds
        self.reloads = 0
        self.late = 0  # requests that were sent again, see above
        self.requests: list[tuple[float, float]] = []  # began, how long
        self._cluster = cluster
        self._address = (cluster.host, cluster.port)
        self._samples: list[Sample] = []
        self._over = threading.Event()

    def run(self) -> None:
        """Do it."""
        began = time.monotonic()
        clients = [threading.Thread(target=self._ask, args=(number % 2 == 0,)) for number in range(CLIENTS)]
        for client in clients:
            client.start()
        try:
            self._act(began + self.seconds)
        finally:
            self._over.set()
            for client in clients:
                client.join()

    def tables(self) -> list[Table]:
        """What grew, and what did not."""
        quarters = [self._quarter(number) for number in range(4)]
        slow = [sorted(seconds) for seconds in map(self._latencies, range(4))]
        rows: list[tuple[str, Callable[[Sample], int], float]] = [
            ("descriptors of the primary", lambda one: one.descriptors, 0),
            ("RSS of the primary, KiB", lambda one: one.rss, FLAT_KIB),
            ("PSS of the primary, KiB", lambda one: one.pss, FLAT_KIB),
            ("descriptors of a worker, at most", lambda one: one.worker_descriptors, 2),
            ("RSS of the largest worker, KiB", lambda one: one.worker_rss, FLAT_KIB),
            ("PSS of the largest worker, KiB", lambda one: one.worker_pss, FLAT_KIB),
        ]
        found = [
            Table(title, _four([median(map(get, part)) for part in quarters]), slack) for title, get, slack in rows
        ]
        for share in (0.5, 0.99):
            values = _four([part[int(share * (len(part) - 1))] * 1000 for part in slow])
            found.append(Table(f"ms that {share:.0%} of the requests took at most", values, FLAT_SECONDS * 1000))
        return found

    # --- doing ---------------------------------------------------------------------------------

    def _act(self, end: float) -> None:
        """Sample, and in each quarter reload once and end one worker; recycling goes on by itself."""
        quarter = self.seconds / 4
        begin = end - self.seconds
        plan = deque(
            (begin + (number + share) * quarter, action)
            for number in range(4)
            for share, action in ((1 / 3, self._reload), (2 / 3, self._stop_one))
        )
        while time.monotonic() < end or plan:
            if plan and plan[0][0] <= time.monotonic():
                plan.popleft()[1]()
            self._sample()
            self._over.wait(quarter / SAMPLES)

    def _reload(self) -> None:
        self._cluster.primary.signal("SIGHUP")
        self.reloads += 1

    def _stop_one(self) -> None:
        for worker in self._cluster.workers[:1]:
            with suppress(ProcessGone):  # recycled, or replaced by the reload, at this very moment
                worker.stop()

    def _ask(self, keeps: bool) -> None:
        client = Client(self._address, keeps)
        for path in cycle(PATHS):
            if self._over.is_set():
                break
            began = time.monotonic()
            try:
                status = client.ask(path)
                self.requests.append((began, time.monotonic() - began))
                if status != 200:
                    self.failures.append(f"{path}: {status}")
            except (OSError, http.client.HTTPException) as error:
                self.failures.append(f"{path}: {error!r}")
                client.close()
            self._over.wait(PAUSE)
        client.close()
        self.late += client.late

    def _sample(self) -> None:
        primary = _holdings(self._cluster.primary.pid)
        assert primary is not None
        workers = [found for pid in _children(self._cluster.primary.pid) if (found := _holdings(pid)) is not None]
        if workers:
            largest = [max(column) for column in zip(*workers, strict=True)]
            self._samples.append(Sample(time.monotonic(), *primary, *largest))

    def _quarter(self, number: int) -> list[Sample]:
        size = len(self._samples) // 4
        return self._samples[number * size : (number + 1) * size]

    def _latencies(self, number: int) -> list[float]:
        part = self._quarter(number)
        return [took for began, took in self.requests if part[0].when <= began <= part[-1].when] or [0.0]


def _four(values: list[float]) -> tuple[float, float, float, float]:
    first, second, third, fourth = values
    return first, second, third, fourth


def _holdings(pid: int) -> tuple[int, int, int] | None:
    with suppress(OSError):
        memory = {"Rss": 0, "Pss": 0}
        with open(f"/proc/{pid}/smaps_rollup", encoding="ascii") as rollup:
            for line in rollup:
                name, _, rest = line.partition(":")
                if name in memory:
                    memory[name] = int(rest.split()[0])
        return len(os.listdir(f"/proc/{pid}/fd")), memory["Rss"], memory["Pss"]
    return None


def _children(pid: int) -> list[int]:
    with open(f"/proc/{pid}/task/{pid}/children", encoding="ascii") as children:
        return [int(child) for child in children.read().split()]
