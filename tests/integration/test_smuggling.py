"""Requests that servers could understand differently: whatever the stock worker answers, ours answers, byte by byte."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn_settings import known
from raw_http import send
from refused import BROKEN_BODIES, REFUSED
from smuggling import SMUGGLING
from stock import Comparison, is_refusal, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None}, workers=1, app="parity:app")

# Nobody is trusted: what a client says of its address and scheme is a spoof.
SETTINGS: dict[str, Any] = {"graceful_timeout": 2, "keepalive": 1, "forwarded_allow_ips": "192.0.2.1"}


STOCK = Comparison(stock_recording("smuggling"), {"": lambda _: 1, "bytes": lambda request: min(len(request), 400)})


def started(cluster_factory: ClusterFactory, parser: str, worker_class: str = "nodecluster_compat.Worker") -> Cluster:
    """A server with one of gunicorn's parsers."""
    return cluster_factory(settings=known({**SETTINGS, "http_parser": parser}), worker_class=worker_class)


@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(180)
def test_smuggling_is_answered_as_the_stock_worker_answers_it(cluster_factory: ClusterFactory, parser: str) -> None:
    """In one piece with the request behind it, and byte by byte; by the parser in C, if there is one, and in Python."""
    expected = STOCK.expected(parser, SMUGGLING, lambda: started(cluster_factory, parser, "gevent"))
    assert STOCK.differences(started(cluster_factory, parser), SMUGGLING, expected) == {}


@pytest.mark.parametrize("parser", ["auto", "python"])
def test_every_gunicorn_refuses_what_the_newest_does(cluster_factory: ClusterFactory, parser: str) -> None:
    """400 or 501 for each fault of a head; behind a broken body nothing is served, whatever the application says."""
    cluster = started(cluster_factory, parser)
    answers = {name: send(cluster, request) for name, request in REFUSED.items()}
    assert {answer[:12] for answer in answers.values()} <= {b"HTTP/1.1 400", b"HTTP/1.1 501"}
    answers |= {name: send(cluster, request) for name, request in BROKEN_BODIES.items()}
    assert [name for name, answer in answers.items() if not is_refusal(answer.decode("latin-1"))] == []


@pytest.mark.slow
@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(180)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, parser: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    STOCK.verify(parser, SMUGGLING, started(cluster_factory, parser, "gevent"), recording_anew)
