"""Requests that servers could understand differently: whatever the stock worker answers, ours answers, byte by byte."""

from __future__ import annotations

from typing import Any, Final

import gunicorn
import pytest
from gunicorn_settings import known
from kinds import STOCK_OF, THREAD_WORKER
from raw_http import exchange, normalised, send
from refused import BROKEN_BODIES, REFUSED
from smuggling import SMUGGLING
from stock import Comparison, is_refusal, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None}, workers=1, app="parity:app")

# Nobody is trusted: what a client says of its address and scheme is a spoof.
SETTINGS: dict[str, Any] = {"graceful_timeout": 2, "keepalive": 1, "forwarded_allow_ips": "192.0.2.1"}


STOCK = Comparison(stock_recording("smuggling"), {"": lambda _: 1, "bytes": lambda request: min(len(request), 400)})

THREADS = Comparison(stock_recording("none of threads"), rounds=5)


def started(cluster_factory: ClusterFactory, parser: str, worker_class: str = "nodecluster_compat.Worker") -> Cluster:
    """A server with one of gunicorn's parsers."""
    return cluster_factory(settings=known({**SETTINGS, "http_parser": parser}), worker_class=worker_class)


@pytest.mark.table(quick=["auto"])
@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(180)
def test_smuggling_is_answered_as_the_stock_worker_answers_it(cluster_factory: ClusterFactory, parser: str) -> None:
    """In one piece with the request behind it, and byte by byte; by the parser in C, if there is one, and in Python."""
    expected = STOCK.expected(parser, SMUGGLING, lambda: started(cluster_factory, parser, "gevent"))
    assert STOCK.differences(started(cluster_factory, parser), SMUGGLING, expected) == {}


@pytest.mark.table(quick=["python"])
@pytest.mark.parametrize("parser", ["auto", "python"])
def test_every_gunicorn_refuses_what_the_newest_does(cluster_factory: ClusterFactory, parser: str) -> None:
    """400 or 501 for each fault of a head; behind a broken body nothing is served, whatever the application says."""
    cluster = started(cluster_factory, parser)
    answers = {name: send(cluster, request) for name, request in REFUSED.items()}
    assert {answer[:12] for answer in answers.values()} <= {b"HTTP/1.1 400", b"HTTP/1.1 501"}
    answers |= {name: send(cluster, request) for name, request in BROKEN_BODIES.items()}
    assert [name for name, answer in answers.items() if not is_refusal(answer.decode("latin-1"))] == []


FIRST: Final = b"GET /first HTTP/1.1\r\nHost: first.test\r\n\r\n"


def send_later(cluster: Cluster, request: bytes) -> bytes:
    """Send a request when the one before has been answered."""
    client = cluster.connect(timeout=20)
    client.sendall(FIRST)
    answer = client.recv(65536)
    while not answer.endswith(b"}"):
        answer += client.recv(65536)
    return answer + exchange(client, request)


@pytest.mark.table(quick=[], slow=["later"])  # test_ways.py has each position in one process
@pytest.mark.skipif(gunicorn.version_info < (27,), reason="ours refuses more than this gunicorn does")
@pytest.mark.parametrize("position", ["later", "pipelined"])
@pytest.mark.timeout(300)
def test_smuggling_on_a_connection_that_has_served(cluster_factory: ClusterFactory, position: str) -> None:
    """Behind a request that both have answered, or read in one piece with this one: as the stock worker, too."""
    ours, stock = started(cluster_factory, "auto"), started(cluster_factory, "auto", "gevent")
    ask = send_later if position == "later" else lambda cluster, request: send(cluster, FIRST + request)
    differing = {}
    for name, request in SMUGGLING.items():
        answers: tuple[set[bytes], set[bytes]] = (set(), set())
        for _ in range(20):  # what was on its way when a server closed may be lost, or not
            for server, said in zip((ours, stock), answers, strict=True):
                said.add(normalised(ask(server, request)))
            if answers[0] & answers[1]:
                break
        else:
            differing[name] = answers
    assert differing == {}


@pytest.mark.slow
@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(180)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, parser: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    STOCK.verify(parser, SMUGGLING, started(cluster_factory, parser, "gevent"), recording_anew)


@pytest.mark.table(quick=[], slow=["auto"])
@pytest.mark.parametrize("parser", ["auto", "python"])
@pytest.mark.timeout(240)
def test_threads_answer_as_the_stock_worker_of_threads(cluster_factory: ClusterFactory, parser: str) -> None:
    """The same corpus, and what is refused, to ``-k gthread`` and to ours of that kind."""
    corpus = {**SMUGGLING, **REFUSED, **BROKEN_BODIES}
    expected = THREADS.expected(parser, corpus, lambda: started(cluster_factory, parser, STOCK_OF[THREAD_WORKER]))
    assert THREADS.differences(started(cluster_factory, parser, THREAD_WORKER), corpus, expected) == {}
