"""FastAPI, Starlette, Quart, Litestar and Django run unchanged in an ASGI worker."""

from __future__ import annotations

import pytest
from websocket_client import WebSocketClient

from pytest_cluster import ClusterFactory

# By the package of each; some of them have given Python 3.10 up.
FRAMEWORKS = {"fast": "fastapi", "star": "starlette", "qua": "quart", "lite": "litestar", "dj": "django"}


@pytest.mark.table(quick=["dj"])
@pytest.mark.parametrize("name", FRAMEWORKS)
def test_framework_serves(cluster_factory: ClusterFactory, name: str) -> None:
    """JSON, a ``def`` endpoint, a stream, and a websocket where there is one; nothing is in the log."""
    pytest.importorskip(FRAMEWORKS[name])
    cluster = cluster_factory(
        app=f"asgi_frameworks:{name}_app", worker_class="nodecluster_compat.ASGIWorker", workers=1
    )
    assert cluster.get("/json?a=7").json()["a"] == 7
    assert cluster.get("/plain").json() == {"in main thread": False}
    assert cluster.get("/stream").text == "0,1,2,3,4,"
    assert cluster.get("/nothing").status == 404
    if name != "dj":
        websocket = WebSocketClient.connect(f"ws://{cluster.host}:{cluster.port}/echo")
        for message in ("hello", "x" * 70_000):
            websocket.send(message)
            assert websocket.receive(timeout=10) == message
        websocket.close()
    if name == "fast":
        assert cluster.get("/json").json()["begun"] is True
        cluster.journal.wait_for("message", predicate=lambda entry: entry.message == {"from": "a thread"})
    assert "Traceback" not in cluster.log
