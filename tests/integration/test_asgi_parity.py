"""An ASGI application, and a client, cannot tell our worker from ``-k asgi``: the same raw requests to both."""

from __future__ import annotations

from typing import Any, Final

import gunicorn
import pytest
from corpus import CLOSE, CORPUS, GET, MORE, VARIANTS
from gunicorn_settings import known
from refused import BROKEN_BODIES, REFUSED
from smuggling import SMUGGLING
from stock import Comparison, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = [
    pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None}, workers=1, app="asgi_parity:app"),
    pytest.mark.skipif(gunicorn.version_info < (27, 0, 1), reason="ASGIWorker needs gunicorn 27.0.1"),
    pytest.mark.timeout(180),
]

OURS: Final = "nodecluster_compat.ASGIWorker"
SETTINGS: Final[dict[str, Any]] = {"graceful_timeout": 2, "keepalive": 1, "asgi_loop": "asyncio"}
OWN: Final = {
    "nothing is answered": GET % (b"/nothing", CLOSE),
    "torn": GET % (b"/torn", CLOSE),
    "shorter than said": GET % (b"/short", b"") + GET % (b"/last", CLOSE),
    "longer than said": GET % (b"/wrong", b"") + GET % (b"/last", CLOSE),
    "websocket": GET % (b"/", b"Connection: Upgrade\r\nUpgrade: websocket\r\nSec-WebSocket-Version: 13\r\n"),
}
HOSTILE: Final = {**SMUGGLING, **REFUSED, **BROKEN_BODIES}
CASES: Final[dict[str, tuple[dict[str, Any], dict[str, bytes]]]] = {
    "parser auto": ({"http_parser": "auto"}, {**CORPUS, **OWN}),
    "parser python": ({"http_parser": "python"}, {**CORPUS, **OWN}),
    "hostile, parser auto": ({"http_parser": "auto"}, HOSTILE),
    "hostile, parser python": ({"http_parser": "python"}, HOSTILE),
    # With uwsgi nobody but its protocol's proxies is answered, and so no cluster is known to be ready.
    **{name: (settings, {**CORPUS, **MORE}) for name, settings in VARIANTS.items() if name != "uwsgi"},
}
STOCK: Final = Comparison(stock_recording("asgi_parity"), rounds=5, silence=0.3)


def started(cluster_factory: ClusterFactory, case: str, worker_class: str = OURS) -> Cluster:
    return cluster_factory(settings=known({**SETTINGS, **CASES[case][0]}), worker_class=worker_class)


@pytest.mark.table(quick=["strict", "http/2 without tls"])
@pytest.mark.parametrize("case", CASES)
def test_answers_are_those_of_the_stock_worker(cluster_factory: ClusterFactory, case: str) -> None:
    """Also to requests that servers could understand differently, and to broken ones."""
    corpus = CASES[case][1]
    expected = STOCK.expected(case, corpus, lambda: started(cluster_factory, case, "asgi"))
    assert STOCK.differences(started(cluster_factory, case), corpus, expected) == {}


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, case: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    STOCK.verify(case, CASES[case][1], started(cluster_factory, case, "asgi"), recording_anew)
