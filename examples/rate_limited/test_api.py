"""The limit is one for all workers, and a worker that dies takes no hits with it."""

from __future__ import annotations

from collections import Counter
from concurrent.futures import ThreadPoolExecutor


def statuses(cluster, key, count, path="/"):
    def ask(_):
        return cluster.request("GET", path, headers={"X-Key": key}).status

    with ThreadPoolExecutor(8) as clients:
        return Counter(clients.map(ask, range(count)))


def test_the_limit_is_exact(cluster):
    assert statuses(cluster, "exact", 30) == {200: 10, 429: 20}
    assert statuses(cluster, "another", 5) == {200: 5}


def test_hits_outlive_a_worker(cluster):
    assert statuses(cluster, "outlives", 6) == {200: 6}
    cluster.worker(2).kill()
    cluster.journal.wait_for("exit", worker=2)
    cluster.wait_listening(3)
    assert statuses(cluster, "outlives", 10) == {200: 4, 429: 6}


def test_a_burst_and_no_more(cluster):
    assert statuses(cluster, "reports", 5, "/report") == {200: 2, 429: 3}
