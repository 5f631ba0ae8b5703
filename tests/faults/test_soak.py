"""Mixed load for a long time: ``pytest tests/faults/test_soak.py --soak 10 -s`` takes ten minutes and prints a table.

Without ``--soak`` it is a look at whether the soak itself works: some seconds, in which nothing can be said of growth.
"""

from __future__ import annotations

import gunicorn
import pytest
from kinds import THREADS
from soak import Soak
from track import APPS

from pytest_cluster import Cluster, ClusterOptions

SHORTEST_MINUTES = 2.0
CONFIG = """
from nodecluster_compat import cluster
cluster.setup_primary(max_worker_requests=3000)
cluster.on("message", lambda worker, message, handle: worker.send(message))
"""
OPTIONS = ClusterOptions(workers=2, app="chatty:app", config=CONFIG, settings={"pythonpath": APPS}, cwd=None)

KINDS = {
    "gevent": OPTIONS,
    "threads": OPTIONS.changed("threads", THREADS),
    "asgi": OPTIONS.changed("asgi", {"worker_class": "nodecluster_compat.ASGIWorker", "app": "chatty_asgi:app"}),
}


@pytest.mark.table(quick=[], slow=["gevent"])
@pytest.mark.timeout(0)
@pytest.mark.parametrize("kind", KINDS)
def test_soak(pytestconfig: pytest.Config, kind: str) -> None:
    if kind == "asgi" and gunicorn.version_info < (27, 0, 1):
        pytest.skip("ASGIWorker needs gunicorn 27.0.1")
    minutes: float = pytestconfig.getoption("soak")
    with Cluster.start(KINDS[kind], pythonpath=APPS) as cluster:
        soak = Soak(cluster, minutes * 60)
        soak.run()
        cluster.wait_listening()
        reload = cluster.primary.status()["reload"]
        ended = [worker for worker in cluster.every_worker if worker.is_dead()]
    tables = soak.tables()
    print(f"\n{kind}, {minutes:g} minutes: {len(soak.requests)} requests, {soak.reloads} reloads,", end=" ")
    print(f"{len(ended)} workers ended, {soak.late} requests were sent again\n")
    print("| | first quarter | second | third | last | |\n|---|---|---|---|---|---|")
    print("\n".join(map(str, tables)))
    grew = [table.title for table in tables if table.grew]
    print("grew: " + ", ".join(grew) if grew else "flat")
    assert soak.failures == []
    assert reload is not None
    assert reload["number"] > 1
    assert all(worker.exited_after_disconnect is not None for worker in ended)
    assert minutes < SHORTEST_MINUTES or not grew
