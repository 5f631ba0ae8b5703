"""Requests that servers could understand differently: whatever the stock worker answers, ours answers, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn_settings import known
from raw_http import disagreement
from smuggling import SMUGGLING

from pytest_cluster import ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None}, workers=1, app="parity:app")

# Nobody is trusted: what a client says of its address and scheme is a spoof.
SETTINGS: dict[str, Any] = {"graceful_timeout": 2, "keepalive": 1, "forwarded_allow_ips": "192.0.2.1"}


@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(180)
def test_smuggling_is_answered_as_the_stock_worker_answers_it(cluster_factory: ClusterFactory, parser: str) -> None:
    """In one piece with the request behind it, and byte by byte; by the parser in C, if there is one, and in Python."""
    settings = known({**SETTINGS, "http_parser": parser})
    with cluster_factory(settings=settings) as ours, cluster_factory(settings=settings, worker_class="gevent") as stock:
        differences = {
            (name, how): said
            for name, request in SMUGGLING.items()
            for how, pieces in (("whole", 1), ("bytes", min(len(request), 400)))
            if (said := disagreement(ours, stock, request, pieces))
        }
    assert differences == {}
