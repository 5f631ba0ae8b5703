"""``request_id_header``: the same id in the request, the answer, the access log and the application's log."""

from __future__ import annotations

from typing import Any, Final

import pytest
from remote_control import wait

from pytest_cluster import Cluster, ClusterFactory

PARENT: Final = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
CONF: Final = """
from nodecluster_compat import cluster
"""
ON: Final = 'cluster.setup_primary(request_id_header="X-Request-ID")\n'
LINE: Final = "LINE slot=%({nodecluster.slot}e)s id=%({nodecluster.request_id}e)s %(s)s"
KINDS: Final[dict[str, dict[str, Any]]] = {
    "gevent": {"app": "traced:app"},
    "threads": {"app": "traced:app", "worker_class": "nodecluster_compat.ThreadWorker"},
    "asgi": {"app": "traced:asgi", "worker_class": "nodecluster_compat.ASGIWorker"},
}


@pytest.mark.parametrize("kind", KINDS)
def test_id_is_the_same_everywhere(cluster_factory: ClusterFactory, kind: str) -> None:
    """A trusted peer says it, or its trace does; another's is made anew; the application may say its own."""
    settings = {"accesslog": "-", "access_log_format": LINE}
    cluster = cluster_factory(**KINDS[kind], config=CONF + ON, workers=1, settings=settings)

    def ask(path: str = "/", **fields: str) -> str:
        """Return the id, in the answer."""
        answer = cluster.get(path, headers={name.replace("_", "-"): value for name, value in fields.items()})
        known, variable = answer.text.split()
        assert known == variable
        wait(lambda: f"LINE slot=1 id={known} 200" in cluster.log, "the line in the access log", cluster)
        wait(lambda: f"APP {known} priced" in cluster.log, "the line of the application", cluster)
        said = answer.headers["X-Request-ID"]
        assert said == (known if path == "/" else "own")
        return known

    assert ask(X_Request_ID="a1-b2") == "a1-b2"
    assert ask(traceparent=PARENT) == "0af7651916cd43dd8448eb211c80319c"
    assert len({ask(), ask(), ask(X_Request_ID="not sane"), ask("/own")}) == 4


@pytest.mark.parametrize("kind", KINDS)
def test_without_the_setting_nothing_is_different(cluster_factory: ClusterFactory, kind: str) -> None:
    """But the slot, which is there for the access log."""
    settings = {"accesslog": "-", "access_log_format": LINE, "forwarded_allow_ips": "10.0.0.1"}
    cluster = cluster_factory(**KINDS[kind], config=CONF, workers=1, settings=settings)
    answer = cluster.get("/", headers={"X-Request-ID": "theirs"})
    assert answer.text == "None theirs"
    assert "X-Request-ID" not in answer.headers
    wait(lambda: "LINE slot=1 id=- 200" in cluster.log, "the line in the access log", cluster)


@pytest.mark.cluster(**KINDS["gevent"], config=CONF + ON, workers=1, settings={"forwarded_allow_ips": "10.0.0.1"})
def test_stranger_cannot_say_the_id(cluster: Cluster) -> None:
    answer = cluster.get("/", headers={"X-Request-ID": "theirs", "traceparent": PARENT})
    known, variable = answer.text.split()
    assert known == variable == answer.headers["X-Request-ID"]
    assert known not in ("theirs", PARENT.split("-")[1])
