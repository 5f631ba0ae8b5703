"""An application, and a client, cannot tell our worker from ``-k gevent``: the same raw requests to both."""

from __future__ import annotations

from typing import Any

import pytest
from gunicorn_settings import known
from kinds import STOCK_OF, THREAD_WORKER
from raw_http import normalised, send
from stock import Comparison, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None})

GET = b"GET %s HTTP/1.1\r\nHost: example.test\r\n%s\r\n"
CLOSE = b"Connection: close\r\n"
LAST = GET % (b"/last", CLOSE)
POST = b"POST /p HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n"

CORPUS: dict[str, bytes] = {
    "get": LAST,
    "query and escapes": GET % (b"/a%20b/%C3%A9?x=1&y=%20", CLOSE),
    "head": b"HEAD / HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n",
    "options *": b"OPTIONS * HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n\r\n",
    "absolute form": GET % (b"http://example.test/abs?q", CLOSE),
    "http/1.0": b"GET /old HTTP/1.0\r\n\r\n",
    "http/1.0 keep-alive": b"GET /old HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + LAST,
    "pipelined": GET % (b"/1", b"") + GET % (b"/2", b"") + LAST,
    "keep-alive after a body": POST.replace(b"Connection: close\r\n", b"") + b"Content-Length: 3\r\n\r\nabc" + LAST,
    "body": POST + b"Content-Length: 5\r\n\r\nhello",
    "chunked body": POST + b"Transfer-Encoding: chunked\r\n\r\n3\r\nabc\r\n2\r\nde\r\n0\r\n\r\n",
    "expect 100": POST + b"Expect: 100-continue\r\nContent-Length: 2\r\n\r\nok",
    "expect nonsense": POST + b"Expect: nonsense\r\nContent-Length: 2\r\n\r\nok",
    "stream": GET % (b"/stream", CLOSE),
    "stream keep-alive": GET % (b"/stream", b"") + LAST,
    "stream to http/1.0": b"GET /stream HTTP/1.0\r\n\r\n",
    "write and too much": GET % (b"/write", CLOSE),
    "file wrapper": GET % (b"/file", CLOSE),
    "early hints": GET % (b"/hints", CLOSE),
    "large": GET % (b"/large", CLOSE),
    "204": GET % (b"/empty", b"") + LAST,
    "304": GET % (b"/304", b"") + LAST,
    "app raises": GET % (b"/raise", CLOSE),
    "app sends a bad header": GET % (b"/badheader", CLOSE),
    "app returns text": GET % (b"/notbytes", CLOSE),
    "forwarded by a trusted peer": GET % (b"/", CLOSE + b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\n"),
    "underscore in a header": GET % (b"/", CLOSE + b"X_Script_Name: /evil\r\n"),
    "repeated header": GET % (b"/", CLOSE + b"X-A: 1\r\nX-A: 2\r\n"),
    "cookie": GET % (b"/", CLOSE + b"Cookie: a=b; c=d\r\n"),
    "latin-1 header": GET % (b"/", CLOSE + b"X-L: \xe9\r\n"),
    "no host": b"GET / HTTP/1.1\r\nConnection: close\r\n\r\n",
    "garbage": b"\x16\x03\x01\x02\x00\x01\x00\x01\xfc\x03\x03\r\n\r\n",
    "bad method": b"get / HTTP/1.1\r\nHost: x\r\n\r\n",
    "bad version": b"GET / HTTP/9.9\r\nHost: x\r\n\r\n",
    "bad header": GET % (b"/", b"No colon here\r\n"),
    "space before colon": GET % (b"/", b"X-A : 1\r\n"),
    "obs-fold": GET % (b"/", b"X-A: 1\r\n 2\r\n"),
    "bare cr": GET % (b"/", b"X-A: 1\r2\r\n"),
    "nul in a header": GET % (b"/", b"X-A: 1\x002\r\n"),
    "line too long": b"GET /" + b"a" * 9000 + b" HTTP/1.1\r\nHost: x\r\n\r\n",
    "header too long": GET % (b"/", b"X-A: " + b"a" * 9000 + b"\r\n"),
    "too many headers": GET % (b"/", b"".join(b"X-%d: 1\r\n" % n for n in range(120))),
    "two content-lengths": POST + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "length and chunked": POST + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "unknown coding": POST + b"Transfer-Encoding: gzip\r\n\r\nabc",
    "bad chunk size": POST + b"Transfer-Encoding: chunked\r\n\r\nzz\r\nabc\r\n0\r\n\r\n",
    "negative length": POST + b"Content-Length: -1\r\n\r\n",
    "nothing": b"",
    "half a line": b"GET / HT",
}

SETTINGS: dict[str, Any] = {"graceful_timeout": 2, "keepalive": 2}


VARIANTS: dict[str, dict[str, Any]] = {
    "lenient": {
        "permit_obsolete_folding": True,
        "strip_header_spaces": True,
        "permit_unconventional_http_method": True,
        "permit_unconventional_http_version": True,
        "casefold_http_method": True,
        "header_map": "dangerous",
    },
    "strict": {
        "header_map": "refuse",
        "limit_request_line": 50,
        "limit_request_fields": 3,
        "limit_request_field_size": 60,
        "keepalive": 0,
        "forwarded_allow_ips": "10.9.8.7",
        "sendfile": False,
    },
    "behind a proxy": {
        "proxy_protocol": True,
        "secure_scheme_headers": {"X-FORWARDED-PROTO": "https"},
        "forwarder_headers": "SCRIPT_NAME,X_SCRIPT_NAME",
    },
    "uwsgi": {"protocol": "uwsgi"},
    "http/2 without tls": {"http_protocols": "h2,h1", "http2_cleartext": "both"},
}
MORE: dict[str, bytes] = {
    "uwsgi request": b"\x00\x2a\x00\x00"
    + b"".join(
        len(part).to_bytes(2, "little") + part
        for pair in ((b"REQUEST_METHOD", b"GET"), (b"PATH_INFO", b"/u"))
        for part in pair
    ).ljust(42, b"\x00"),
    "proxy v1": b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\n" + LAST,
    "proxy v2": b"\r\n\r\n\x00\r\nQUIT\n\x21\x11\x00\x0c" + bytes([192, 0, 2, 1, 192, 0, 2, 2, 4, 87, 0, 80]) + LAST,
    "http/2 preface": b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n" + b"\x00\x00\x00\x04\x00\x00\x00\x00\x00",
}


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


@pytest.mark.slow
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
