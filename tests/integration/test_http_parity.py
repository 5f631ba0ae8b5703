"""An application, and a client, cannot tell our worker from ``-k gevent``: the same raw requests to both."""

from __future__ import annotations

from typing import Any

import pytest
from corpus import CORPUS, GET, MORE, VARIANTS
from gunicorn_settings import known
from kinds import STOCK_OF, THREAD_WORKER
from raw_http import normalised, send
from stock import Comparison, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None})

SETTINGS: dict[str, Any] = {"graceful_timeout": 2, "keepalive": 2}

UPGRADE = GET % (b"/", b"Connection: Upgrade, HTTP2-Settings\r\nUpgrade: h2c\r\nHTTP2-Settings: AAMAAABk\r\n")
CASES: dict[str, tuple[dict[str, Any], dict[str, bytes]]] = {
    "parser python": ({"http_parser": "python"}, CORPUS),
    "parser auto": ({"http_parser": "auto"}, CORPUS),
    **{name: (settings, {**CORPUS, **MORE}) for name, settings in VARIANTS.items()},
}
STOCK = Comparison(stock_recording("http_parity"), rounds=1)
LIVE = Comparison(stock_recording("none of threads"), rounds=5)


def started(cluster_factory: ClusterFactory, case: str, worker_class: str = "nodecluster_compat.Worker") -> Cluster:
    """A server with the settings of a case, as far as the installed gunicorn has them."""
    settings = known({**SETTINGS, **CASES[case][0]})
    return cluster_factory(workers=1, app="parity:app", settings=settings, worker_class=worker_class)


@pytest.mark.table(quick=["parser auto", "strict"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.timeout(180)
def test_answers_are_those_of_the_stock_worker(cluster_factory: ClusterFactory, case: str) -> None:
    """Status, headers, body and environ are the same to the byte.

    With either of gunicorn's parsers, and with other limits, header policies and protocols: gunicorn's own code,
    reached with the same peer and listener.
    """
    corpus = CASES[case][1]
    expected = STOCK.expected(case, corpus, lambda: started(cluster_factory, case, "gevent"))
    assert STOCK.differences(started(cluster_factory, case), corpus, expected) == {}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
@pytest.mark.timeout(180)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, case: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    STOCK.verify(case, CASES[case][1], started(cluster_factory, case, "gevent"), recording_anew)


@pytest.mark.table(quick=[], slow=["strict", "parser python", "uwsgi"])
@pytest.mark.parametrize("case", CASES)
@pytest.mark.timeout(240)
def test_threads_answer_as_the_stock_worker_of_threads(cluster_factory: ClusterFactory, case: str) -> None:
    """The same corpus, to ``-k gthread`` and to ours of that kind, at the same time."""
    corpus = CASES[case][1]
    expected = LIVE.expected(case, corpus, lambda: started(cluster_factory, case, STOCK_OF[THREAD_WORKER]))
    assert LIVE.differences(started(cluster_factory, case, THREAD_WORKER), corpus, expected) == {}


def test_upgrade_to_http2_is_answered_as_by_the_stock_worker(cluster_factory: ClusterFactory) -> None:
    """In the same second, because the date is in the answer, in the code of HTTP/2."""
    case = "http/2 without tls"
    with started(cluster_factory, case) as ours, started(cluster_factory, case, "gevent") as stock:
        pairs = [(send(ours, UPGRADE), send(stock, UPGRADE)) for _ in range(5)]
    assert any(normalised(mine) == normalised(theirs) for mine, theirs in pairs), pairs[0]
