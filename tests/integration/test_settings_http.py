"""Settings of the HTTP parser and of trust: with each, the answers are those of the stock worker."""

from __future__ import annotations

import socket
import struct
from typing import Any

import pytest
from gunicorn_settings import known
from kinds import every_wsgi_kind
from raw_http import CLOSE, GET, HEAD, environ_of, exchange, normalised, send
from remote_control import wait_logged
from stock import Comparison, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None})

POST = b"POST /p HTTP/1.1\r\nHost: example.test\r\nConnection: close\r\n"
SIGNATURE = b"\r\n\r\n\x00\r\nQUIT\n"
PROXY_V1 = b"PROXY TCP4 192.0.2.1 192.0.2.2 1111 80\r\n"
PROXY_V2 = SIGNATURE + b"\x21\x11" + struct.pack("!H4s4sHH", 12, bytes([192, 0, 2, 7]), bytes([192, 0, 2, 8]), 2222, 80)
PROXY_LOCAL = SIGNATURE + b"\x20\x00\x00\x00"
FORWARDED = b"X-Forwarded-Proto: https\r\nX-Forwarded-For: 1.2.3.4\r\nScript-Name: /evil\r\nX-Ssl: on\r\n"

Corpus = dict[str, bytes]

TRUST: Corpus = {
    "forwarded": GET % (b"/", CLOSE + FORWARDED),
    "schemes that differ": GET % (b"/", CLOSE + b"X-Forwarded-Proto: https\r\nX-Forwarded-Protocol: http\r\n"),
    "underscore": GET % (b"/", CLOSE + b"Script_Name: /evil\r\nX_Forwarded_Proto: https\r\n"),
    "script name and path": GET % (b"/app/x", CLOSE + b"Script-Name: /app\r\nPath-Info: /y\r\n"),
    "script name in underscores": GET % (b"/app/x", CLOSE + b"SCRIPT_NAME: /app\r\n"),
    "script name that does not fit": GET % (b"/other/x", CLOSE + b"SCRIPT_NAME: /app\r\n"),
}
PROXY: Corpus = {
    "v1": PROXY_V1 + GET % (b"/", CLOSE),
    "v1, two requests": PROXY_V1 + GET % (b"/1", b"") + GET % (b"/2", CLOSE),
    "v1, again": PROXY_V1 + GET % (b"/1", b"") + PROXY_V1 + GET % (b"/2", CLOSE),
    "v1 of IPv6": b"PROXY TCP6 2001:db8::1 2001:db8::2 1111 80\r\n" + GET % (b"/", CLOSE),
    "v1 unknown": b"PROXY UNKNOWN\r\n" + GET % (b"/", CLOSE),
    "v1 garbage": b"PROXY TCP4 nowhere 192.0.2.2 1 2\r\n" + GET % (b"/", CLOSE),
    "v1 bad port": b"PROXY TCP4 192.0.2.1 192.0.2.2 99999 80\r\n" + GET % (b"/", CLOSE),
    "v2": PROXY_V2 + GET % (b"/", CLOSE),
    "v2 local": PROXY_LOCAL + GET % (b"/", CLOSE),
    "v2 cut": PROXY_V2[:20],
    "v2 alone": PROXY_V2,
    "none": GET % (b"/", CLOSE),
}
LIMITS: Corpus = {
    "line at the limit": b"GET /" + b"a" * 34 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "line over it": b"GET /" + b"a" * 60 + b" HTTP/1.1\r\n" + CLOSE + b"\r\n",
    "line without an end": b"GET /" + b"a" * 6000,
    "fields at the limit": GET % (b"/", CLOSE + b"A: 1\r\n"),
    "fields over it": GET % (b"/", CLOSE + b"A: 1\r\nB: 2\r\nC: 3\r\n"),
    "field at the limit": GET % (b"/", CLOSE + b"A: " + b"a" * 35 + b"\r\n"),
    "field over it": GET % (b"/", CLOSE + b"A: " + b"a" * 60 + b"\r\n"),
    "field without an end": b"GET / HTTP/1.1\r\nA: " + b"a" * 9000,
}
ODD: Corpus = {
    "obsolete folding": GET % (b"/", CLOSE + b"X-A: 1\r\n 2\r\n"),
    "space before the colon": GET % (b"/", CLOSE + b"X-A : 1\r\n"),
    "small method": b"get / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n",
    "odd method": b"GE#T / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n",
    "short method": b"G / HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n",
    "odd version": b"GET / HTTP/3.7\r\nHost: x\r\n" + CLOSE + b"\r\n",
    "underscore": GET % (b"/", CLOSE + b"X_A: 1\r\nX-A: 2\r\n"),
}
BODIES: Corpus = {
    "file": GET % (b"/disk", CLOSE),
    "file, kept alive": GET % (b"/disk", b"") + GET % (b"/disk", CLOSE),
    "file to HTTP/1.0": b"GET /disk HTTP/1.0\r\n\r\n",
    "head of a file": b"HEAD /disk HTTP/1.1\r\nHost: x\r\n" + CLOSE + b"\r\n",
    "kept alive": GET % (b"/1", b"") + GET % (b"/2", b""),
    "HTTP/1.0 kept alive": b"GET /1 HTTP/1.0\r\nConnection: keep-alive\r\n\r\n" + GET % (b"/2", CLOSE),
}
ALLOWED = {"proxy_allow_ips": "127.0.0.1"}

CASES: dict[str, tuple[dict[str, Any], Corpus]] = {
    "trusted": ({"forwarded_allow_ips": "127.0.0.0/8"}, TRUST),
    "untrusted": ({"forwarded_allow_ips": "10.9.8.7"}, TRUST),
    "everybody": ({"forwarded_allow_ips": "*", "secure_scheme_headers": {"X-SSL": "on"}}, TRUST),
    "nobody": ({"forwarded_allow_ips": "", "forwarder_headers": ""}, TRUST),
    "dangerous": ({"header_map": "dangerous", "forwarder_headers": "X_FORWARDED_PROTO"}, {**TRUST, **ODD}),
    "refuse": ({"header_map": "refuse"}, {**TRUST, **ODD}),
    "proxy": ({"proxy_protocol": True, **ALLOWED}, PROXY),
    "proxy from nobody": ({"proxy_protocol": True, "proxy_allow_ips": "10.9.8.7"}, PROXY),
    "proxy of networks": ({"proxy_protocol": True, "proxy_allow_ips": "*", "keepalive": 0}, PROXY),
    "limits": ({"limit_request_line": 48, "limit_request_fields": 4, "limit_request_field_size": 40}, LIMITS),
    "permissive": (
        {
            "permit_obsolete_folding": True,
            "strip_header_spaces": True,
            "permit_unconventional_http_method": True,
            "permit_unconventional_http_version": True,
            "casefold_http_method": True,
        },
        ODD,
    ),
    "no keep-alive": ({"keepalive": 0, "sendfile": True}, BODIES),
    "no sendfile": ({"sendfile": False}, BODIES),
}


STOCK = Comparison(stock_recording("settings_http"), {"": lambda _: 1, "pieces": lambda _: 7})


def started(cluster_factory: ClusterFactory, case: str, worker_class: str = "nodecluster_compat.Worker") -> Cluster:
    """A server with the settings of a case."""
    settings = {"graceful_timeout": 2, **CASES[case][0]}
    return cluster_factory(workers=1, app="parity:app", settings=settings, worker_class=worker_class)


@pytest.mark.table(quick=["trusted", "dangerous", "limits"])
@pytest.mark.parametrize("case", CASES)
def test_answers_with_a_setting_are_those_of_the_stock_worker(cluster_factory: ClusterFactory, case: str) -> None:
    """Status, headers, body and environ are the same to the byte, whole and in pieces."""
    corpus = CASES[case][1]
    expected = STOCK.expected(case, corpus, lambda: started(cluster_factory, case, "gevent"))
    with started(cluster_factory, case) as ours:
        assert STOCK.differences(ours, corpus, expected) == {}
        assert "Traceback" not in ours.log


@pytest.mark.slow
@pytest.mark.parametrize("case", CASES)
def test_stock_worker_answers_as_recorded(cluster_factory: ClusterFactory, case: str, recording_anew: bool) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    STOCK.verify(case, CASES[case][1], started(cluster_factory, case, "gevent"), recording_anew)


@pytest.mark.cluster(workers=1, app="echo:app", settings={"secure_scheme_headers": {"X-SSL": "on"}})
def test_trusted_peer_sets_the_scheme(cluster: Cluster) -> None:
    """A listed proxy may say https, by the headers that are configured and no others."""
    assert environ_of(send(cluster, HEAD + b"X-SSL: on\r\n\r\n"))["wsgi.url_scheme"] == "https"
    assert environ_of(send(cluster, HEAD + b"X-Forwarded-Proto: https\r\n\r\n"))["wsgi.url_scheme"] == "http"


@pytest.mark.cluster(workers=1, app="echo:app", settings={"bind": "[::1]:0", "forwarded_allow_ips": "127.0.0.1"})
def test_untrusted_peer_of_ipv6_cannot_set_the_scheme(cluster: Cluster) -> None:
    """The four-tuple of IPv6 is looked at like the pair of IPv4."""
    told = environ_of(send(cluster, HEAD + b"X-Forwarded-Proto: https\r\nSCRIPT_NAME: /evil\r\n\r\n"))
    assert (told["wsgi.url_scheme"], told["SCRIPT_NAME"], told["REMOTE_ADDR"]) == ("http", "", "::1")


@pytest.mark.cluster(workers=1, app="echo:app", settings={"proxy_protocol": True, "proxy_allow_ips": "10.9.8.7"})
def test_untrusted_peer_cannot_claim_an_address(cluster: Cluster) -> None:
    """PROXY from a peer that is not listed is forbidden."""
    assert b"192.0.2.1" not in send(cluster, PROXY_V1 + HEAD + b"\r\n")


def uwsgi(**variables: str) -> bytes:
    """A request in the protocol of uWSGI."""
    pairs = b"".join(struct.pack("<H", len(part)) + part.encode() for pair in variables.items() for part in pair)
    return struct.pack("<BHB", 0, len(pairs), 0) + pairs


@pytest.mark.cluster(workers=2, app="echo:app", settings={"protocol": "uwsgi", "bind": "127.0.0.1:0"})
def test_uwsgi_protocol(cluster_factory: ClusterFactory) -> None:
    """A listed peer is served, another one is not."""
    variables = {"REQUEST_METHOD": "GET", "PATH_INFO": "/u", "REQUEST_URI": "/u?a=1", "QUERY_STRING": "a=1"}
    request = uwsgi(**variables, SERVER_PROTOCOL="HTTP/1.1", HTTP_HOST="x", HTTP_CONNECTION="close")
    server = cluster_factory()
    told = environ_of(send(server, request))
    assert (told["PATH_INFO"], told["QUERY_STRING"], told["REMOTE_ADDR"]) == ("/u", "a=1", "127.0.0.1")
    other = cluster_factory(settings={"uwsgi_allow_ips": "10.9.8.7"})
    assert send(other, request).startswith(b"HTTP/1.1 500")  # the stock worker's answer, too
    assert "uWSGI request from '127.0.0.1' not allowed" in other.log


@pytest.mark.table(quick=["threads"])
@every_wsgi_kind
@pytest.mark.cluster(
    workers=2,
    app="echo:app",
    config="from nodecluster_compat import cluster\nprotocol = 'uwsgi'\ncluster.setup_primary(routing='cookie')\n",
)
def test_uwsgi_protocol_is_served_where_routing_was_asked_for(cluster: Cluster) -> None:
    """Nothing is routed, and a worker says so."""
    wait_logged(cluster, "Requests are not routed: protocol is uwsgi")
    request = uwsgi(REQUEST_METHOD="GET", PATH_INFO="/u", QUERY_STRING="", HTTP_HOST="x", HTTP_CONNECTION="close")
    assert environ_of(send(cluster, request))["PATH_INFO"] == "/u"


@pytest.mark.cluster(workers=1, settings={"keepalive": 1})
def test_idle_connection_is_closed_after_keepalive(cluster: Cluster) -> None:
    """The worker closes a connection on which no further request comes; others go on meanwhile."""
    with cluster.connect(timeout=20) as client:
        client.sendall(GET % (b"/", b""))
        answer = b""
        while data := client.recv(65536):
            answer += data
            assert cluster.get("/").status == 200
    assert answer.count(b"HTTP/1.1 200 OK") == 1
    assert b"Connection: keep-alive" in answer


@pytest.mark.cluster(workers=2, app="parity:app", config="bind = [bind, 'unix:parity.sock']\n")
def test_unix_socket_answers_like_the_stock_worker(cluster_factory: ClusterFactory) -> None:
    """Peers without an address are trusted, as always."""
    answers = []
    for worker_class in ("nodecluster_compat.Worker", "gevent"):
        server = cluster_factory(worker_class=worker_class, settings=known({"graceful_timeout": 2}))
        path = f"/proc/{server.primary.pid}/cwd/parity.sock"
        for request in TRUST.values():
            client = socket.socket(socket.AF_UNIX)
            client.settimeout(20)
            client.connect(path)
            answers.append(normalised(exchange(client, request)))
    half = len(answers) // 2
    assert answers[:half] == answers[half:]
    assert b'"wsgi.url_scheme": "https"' in answers[0]
