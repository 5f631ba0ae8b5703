"""TLS and HTTP/2 are spoken in the worker, on the descriptor that the primary passed."""

from __future__ import annotations

import json
import socket
import ssl
from pathlib import Path

import gunicorn
import pytest
from h2_client import fetch
from raw_http import CLOSE, GET, Certificate, environ_of, exchange, make_certificate, normalised, send
from recordings import told
from stock import Comparison, stock_recording

from pytest_cluster import Cluster, ClusterFactory

# Without the plugin's agent, which marks each response.
pytestmark = pytest.mark.cluster(env={"NODECLUSTER_TEST_TOKEN": None})

VERSION = tuple(int(part) for part in gunicorn.__version__.split(".")[:2])
needs_http2 = pytest.mark.skipif(VERSION < (25, 0), reason="gunicorn speaks HTTP/2 from 25.0 on")
needs_cleartext = pytest.mark.skipif(VERSION < (27, 0), reason="gunicorn speaks HTTP/2 without TLS from 27.0 on")

CORPUS = {
    "get": GET % (b"/last", CLOSE),
    "kept alive": GET % (b"/1", b"") + GET % (b"/2", CLOSE),
    "stream": GET % (b"/stream", CLOSE),
    "file": GET % (b"/disk", CLOSE),
    "hints": GET % (b"/hints", CLOSE),
    "large": GET % (b"/large", CLOSE),
    "body": b"POST /p HTTP/1.1\r\nHost: x\r\nConnection: close\r\nContent-Length: 5\r\n\r\nhello",
    "bad header": GET % (b"/", b"No colon here\r\n"),
    "raises": GET % (b"/raise", CLOSE),
}


def h2_context() -> ssl.SSLContext:
    """A client's context that asks for HTTP/2 and trusts everybody."""
    context = ssl.create_default_context()
    context.check_hostname = False
    context.verify_mode = ssl.CERT_NONE
    context.set_alpn_protocols(["h2", "http/1.1"])
    return context


def tls(server: Cluster, context: ssl.SSLContext) -> ssl.SSLSocket:
    """A new connection with ``context``."""
    return context.wrap_socket(socket.create_connection((server.host, server.port), 20))


STOCK = Comparison(stock_recording("settings_tls"), rounds=1)
HANDSHAKES = {"handshake when first read": False, "handshake on connect": True}


def started(
    cluster_factory: ClusterFactory,
    certificate: Certificate,
    case: str,
    worker_class: str = "nodecluster_compat.Worker",
) -> Cluster:
    """A server that speaks TLS."""
    settings = {
        "keyfile": certificate.key,
        "certfile": certificate.cert,
        "graceful_timeout": 2,
        "do_handshake_on_connect": HANDSHAKES[case],
    }
    return cluster_factory(workers=1, app="parity:app", settings=settings, worker_class=worker_class)


def to_plain(server: Cluster) -> list[str]:
    """What a client is told that does not speak TLS."""
    return [told(normalised(exchange(socket.create_connection((server.host, server.port), 20), CORPUS["get"])))]


@pytest.mark.table(quick=[])
@pytest.mark.parametrize("case", HANDSHAKES)
def test_answers_over_tls_are_those_of_the_stock_worker(
    cluster_factory: ClusterFactory, certificate: Certificate, case: str
) -> None:
    """Bytes and environ, with the handshake on connect and without; and what is said to a client without TLS."""

    def stock() -> Cluster:
        return started(cluster_factory, certificate, case, "gevent")

    expected = STOCK.expected(case, CORPUS, stock)
    with started(cluster_factory, certificate, case) as ours:
        assert STOCK.differences(ours, CORPUS, expected) == {}
        assert to_plain(ours) == STOCK.recorded(f"{case}, plain", lambda: to_plain(stock()))
        assert b'"wsgi.url_scheme": "https"' in send(ours, CORPUS["get"])


@pytest.mark.slow
@pytest.mark.parametrize("case", HANDSHAKES)
def test_stock_worker_answers_as_recorded(
    cluster_factory: ClusterFactory, certificate: Certificate, case: str, recording_anew: bool
) -> None:
    """The recording that the test above compares with is what the stock worker says."""
    with started(cluster_factory, certificate, case, "gevent") as stock:
        STOCK.verify(case, CORPUS, stock, recording_anew)
        STOCK.verify_as_whole(f"{case}, plain", to_plain(stock), recording_anew)


def test_client_certificate_ciphers_and_context_hook(
    cluster_factory: ClusterFactory, certificate: Certificate, tmp_path: Path
) -> None:
    """``cert_reqs`` with ``ca_certs`` turns strangers away, ``ciphers`` chooses, ``ssl_context`` has the last word."""
    friend = make_certificate(tmp_path, "friend")
    settings = {
        "keyfile": certificate.key,
        "certfile": certificate.cert,
        "cert_reqs": int(ssl.CERT_REQUIRED),
        "ca_certs": friend.cert,
        "ciphers": "ECDHE-RSA-AES128-GCM-SHA256",
    }
    hook = (
        "def ssl_context(config, default_factory):\n    import ssl\n    context = default_factory()\n"
        "    context.maximum_version = ssl.TLSVersion.TLSv1_2\n    return context\n"
    )
    server = cluster_factory(workers=2, app="echo:app", settings=settings, config=hook)
    context = ssl.create_default_context(cafile=certificate.cert)
    context.check_hostname = False
    with pytest.raises(ssl.SSLError), tls(server, context) as stranger:
        exchange(stranger, GET % (b"/", CLOSE))
    context.load_cert_chain(friend.cert, friend.key)
    with tls(server, context) as client:
        assert (client.version(), client.cipher()[0]) == ("TLSv1.2", "ECDHE-RSA-AES128-GCM-SHA256")  # type: ignore[index]
        assert environ_of(exchange(client, GET % (b"/", CLOSE)))["wsgi.url_scheme"] == "https"
    assert "Traceback" not in server.log


@needs_http2
def test_http2_over_tls(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """ALPN chooses, streams run on one connection, bodies go both ways; HTTP/1.1 is served beside it."""
    settings = {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1"}
    settings_of_h2 = {"http2_max_concurrent_streams": 7, "http2_max_frame_size": 20000}
    server = cluster_factory(workers=2, app="parity:app", settings={**settings, **settings_of_h2})
    with tls(server, h2_context()) as client:
        assert client.selected_alpn_protocol() == "h2"
        answers = fetch(client, "/one?x=1", "/large", "/stream", "/empty", "/raise", "/hints")
    assert [one.status for one in answers] == [200, 200, 200, 204, 500, 200]
    told = json.loads(answers[0].body)
    assert (told["wsgi.url_scheme"], told["QUERY_STRING"], told["SERVER_PROTOCOL"]) == ("https", "x=1", "HTTP/2.0")
    assert (len(answers[1].body), answers[2].body) == (300_000, b"first,second")
    assert answers[5].early[0]["link"] == "</style.css>; rel=preload"
    with tls(server, h2_context()) as client:
        (posted,) = fetch(client, "/p", body=b"z" * 10_000)
        assert posted.body.endswith(b"z" * 10_000)
    assert server.get("/").json()["SERVER_PROTOCOL"] == "HTTP/1.1"
    assert server.stop() == 0


@pytest.mark.slow
@needs_http2
def test_http2_ends_with_a_generation(cluster_factory: ClusterFactory, certificate: Certificate) -> None:
    """``max_requests`` counts streams; the next connection is a successor's."""
    settings = {"keyfile": certificate.key, "certfile": certificate.cert, "http_protocols": "h2,h1", "max_requests": 3}
    server = cluster_factory(workers=1, app="pid_echo:app", settings=settings)
    pids = set()
    for _ in range(3):
        with tls(server, h2_context()) as client:
            pids |= {json.loads(one.body)["pid"] for one in fetch(client, "/1", "/2", "/3")}
    assert len(pids) == 3
    assert server.journal.wait_for("exit").exited_after_disconnect is True


@needs_cleartext
@pytest.mark.parametrize("trusted", [True, False])
def test_http2_without_tls_is_for_trusted_peers(cluster_factory: ClusterFactory, trusted: bool) -> None:
    """Prior knowledge is heard from a listed proxy; from anybody else it is a bad request."""
    settings = {
        "http_protocols": "h2,h1",
        "http2_cleartext": "prior-knowledge",
        "forwarded_allow_ips": "127.0.0.1" if trusted else "10.9.8.7",
    }
    server = cluster_factory(workers=2, app="parity:app", settings=settings)
    if trusted:
        with server.connect(timeout=20) as client:
            (answer,) = fetch(client, "/one")
        assert answer.status == 200
        assert json.loads(answer.body)["REMOTE_ADDR"] == "127.0.0.1"
    else:
        preface = b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"
        assert b" 505 " in send(server, preface) or b" 400 " in send(server, preface)
        assert server.get("/").status == 200
