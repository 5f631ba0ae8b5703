"""What a request of the plugin's client looks like on the wire."""

from __future__ import annotations

import contextlib
import gzip
import http.client
import http.server
import json
import select
import socket
import threading
import time
from collections.abc import Iterator
from typing import Any

import pytest

from pytest_cluster.errors import ForeignRedirect, OptionError, RedirectLoop, WaitTimeout
from pytest_cluster.requests.client import Client
from pytest_cluster.requests.endpoint import Endpoint
from pytest_cluster.waiting import end_waits_at


@pytest.mark.parametrize(
    ("path", "target"),
    [
        ("/visits", "/visits"),
        ("visits", "/visits"),
        ("?page=2", "/?page=2"),
        ("", "/"),
        ("//visits", "//visits"),
        ("*", "*"),
        ("http://shop.test/visits", "http://shop.test/visits"),
    ],
)
def test_a_path_has_its_slash(path: str, target: str) -> None:
    seen: list[bytes] = []

    def serve() -> None:
        client, _ = listener.accept()
        with client:
            seen.append(client.recv(65536).partition(b"\r\n")[0])
            client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        Endpoint(*listener.getsockname()).request("OPTIONS", path, timeout=20)
        thread.join(20)
    assert seen == [f"OPTIONS {target} HTTP/1.1".encode()]


def test_as_many_at_a_time_as_were_asked_for() -> None:
    """Nobody is answered before all have come, with the method and the body that they should have."""
    seen: list[bytes] = []

    def serve() -> None:
        clients = [listener.accept()[0] for _ in range(100)]
        for client in clients:
            with client:
                seen.append(client.recv(65536).partition(b"\r\n")[0])
                client.sendall(b"HTTP/1.1 204 No Content\r\n\r\n")

    with socket.create_server(("127.0.0.1", 0), backlog=100) as listener:
        thread = threading.Thread(target=serve, daemon=True)
        thread.start()
        client = Client(Endpoint(*listener.getsockname()), lambda worker: None)
        hits = client.get_many("/pay", 100, concurrency=100, method="POST", timeout=5)
        thread.join(20)
    assert [hit.status for hit in hits] == [204] * 100
    assert seen == [b"POST /pay HTTP/1.1"] * 100


@pytest.mark.parametrize("concurrency", [0, 1001, "two"])
def test_impossible_concurrency_is_refused(concurrency: Any) -> None:
    client = Client(Endpoint("127.0.0.1", 1), lambda worker: None)
    with pytest.raises(ValueError, match=f"expected a concurrency of 1 to 1000, got {concurrency!r}"):
        client.get_many(concurrency=concurrency)
    with pytest.raises(ValueError, match="expected a concurrency"), client.load(concurrency=concurrency):
        pass


@pytest.mark.parametrize("count", [0, -1, "many"])
def test_count_of_requests_that_asks_nothing_is_refused(count: Any) -> None:
    """What is asserted of no request always holds."""
    with pytest.raises(ValueError, match=f"expected a count of requests, 1 or more, got {count!r}"):
        Client(Endpoint("127.0.0.1", 1), lambda worker: None).get_many(count=count)


@pytest.mark.parametrize("pause", [-1, float("nan"), float("inf")])
def test_impossible_pause_is_refused(pause: float) -> None:
    client = Client(Endpoint("127.0.0.1", 1), lambda worker: None)
    with pytest.raises(ValueError, match="expected a pause of 0 s or more"), client.load(pause=pause):
        pass


class NoContent(http.server.BaseHTTPRequestHandler):
    def do_GET(self) -> None:
        self.send_response(204)
        self.end_headers()

    def log_message(self, *_: object) -> None:
        """Say nothing."""


def test_load_with_a_pause_ends_with_its_block() -> None:
    """Nobody waits for the end of a pause; there is one request before it, and one behind."""
    with http.server.HTTPServer(("127.0.0.1", 0), NoContent) as server:
        thread = threading.Thread(target=server.serve_forever, args=(0.01,))
        thread.start()
        client = Client(Endpoint("127.0.0.1", server.server_port), lambda worker: None)
        with client.load("/", concurrency=2, pause=3600, timeout=20) as hits:
            pass
        server.shutdown()
        thread.join()
    assert [hit.status for hit in hits] == [204] * len(hits)
    assert 2 <= len(hits) <= 4


@pytest.mark.slow
@pytest.mark.parametrize("path", ["/events", "/stuck"])
def test_request_that_never_ends_does_not_hold_up_the_end(pytester: pytest.Pytester, path: str) -> None:
    """Neither a body without an end nor an application that does not answer, whatever its time-out is."""
    pytester.makepyfile(
        endless="""
        import time

        def events():
            while True:
                yield b"event"
                time.sleep(0.05)

        def app(environ, start_response):
            if environ["PATH_INFO"] == "/stuck":
                time.sleep(300)
            start_response("200 OK", [])
            return events()
        """
    )
    pytester.makepyfile(
        f"""
        import pytest

        @pytest.mark.cluster(app="endless:app", settings={{"graceful_timeout": 1}})
        def test_it(cluster, cluster_client):
            with cluster.faults.hold("request") as gate:
                cluster_client.submit("{path}", timeout=300)
                gate.wait_reached(1)
            assert any(worker.tally.in_flight for worker in cluster.workers)
        """
    )
    pytester.runpytest_subprocess(timeout=60).assert_outcomes(passed=1)


class Site(http.server.BaseHTTPRequestHandler):
    """Answers what the tests below ask for, and echoes what it was asked."""

    def log_message(self, *_: object) -> None: ...

    def answer(self) -> None:
        path = self.path.partition("?")[0]
        body = self.rfile.read(int(self.headers.get("Content-Length", 0)))
        echo = {"method": self.command, "path": self.path, "body": body.decode(), "cookie": self.headers.get("Cookie")}
        content = json.dumps(echo).encode()
        if path in ("/events", "/stuck"):
            self.tell_for_ever(path)
            return
        self.send_response({"/login": 302, "/loop": 302, "/away": 302, "/missing": 404}.get(path, 200))
        if path in ("/login", "/loop", "/away"):
            self.send_header("Location", {"/login": "/me", "/loop": "/loop"}.get(path, "https://example.com/"))
        if path == "/login":
            self.send_header("Set-Cookie", "user=ada; Path=/; HttpOnly")
            self.send_header("Set-Cookie", "seen=1; Path=/elsewhere")
        if path == "/gzip":
            self.send_header("Content-Encoding", "gzip")
            content = gzip.compress(content)
        self.send_header("Content-Length", str(len(content)))
        self.end_headers()
        if self.command != "HEAD":
            self.wfile.write(content)

    def tell_for_ever(self, path: str) -> None:
        if path == "/events":
            self.send_response(200)
            self.end_headers()
        with contextlib.suppress(OSError):
            while not select.select([self.connection], [], [], 0.01)[0]:  # until the client has hung up
                self.wfile.write(b"event" if path == "/events" else b"")

    do_GET = do_POST = do_PUT = do_PATCH = do_DELETE = do_HEAD = do_OPTIONS = answer  # noqa: N815 - as it is looked up


@pytest.fixture(scope="module")
def site() -> Iterator[Endpoint]:
    with http.server.ThreadingHTTPServer(("127.0.0.1", 0), Site) as server:
        thread = threading.Thread(target=server.serve_forever, kwargs={"poll_interval": 0.01})
        thread.start()
        yield Endpoint(*server.server_address[:2])  # type: ignore[misc]
        server.shutdown()
        thread.join()


@pytest.fixture
def client(site: Endpoint) -> Client:
    return Client(site, lambda worker: None)


@pytest.mark.parametrize("method", ["get", "post", "put", "patch", "delete", "head", "options"])
def test_every_method(client: Client, method: str) -> None:
    answer = getattr(client, method)("/a", params={"b": 1})
    assert (answer.status_code, answer.ok, answer.url) == (200, True, "/a?b=1")
    if method != "head":
        assert answer.json()["method"] == method.upper()


def test_answer_has_the_names_of_other_clients(client: Client) -> None:
    answer = client.get("/missing")

    assert (answer.status, answer.status_code, answer.ok, answer.reason) == (404, 404, False, "Not Found")
    assert answer.content == answer.data == answer.body
    assert answer.json() == answer.get_json()
    assert answer.headers["content-length"] == str(len(answer.text))
    assert (answer.worker, answer.history, answer.cookies, answer.is_redirect) == (None, (), {}, False)
    with pytest.raises(AssertionError, match=r"/missing was answered <404 from nobody under test: b'"):
        answer.raise_for_status()
    assert client.get("/").raise_for_status().ok
    with pytest.raises(AttributeError, match=r"an answer has no attribute 'streaming_content' \(say content\)$"):
        answer.streaming_content  # noqa: B018 - looked at
    with pytest.raises(AttributeError, match=r"an answer has no attribute 'colour'$"):
        answer.colour  # type: ignore[attr-defined] # noqa: B018


def test_address_of_the_cluster_before_the_path(client: Client, site: Endpoint) -> None:
    """As users of requests have it: the path is asked for, and has its cookies."""
    url = f"http://{site.host}:{site.port}"
    client.get(f"{url}/login")

    assert client.get(f"{url}/elsewhere?a=1").json()["cookie"] == "seen=1; user=ada"
    assert client.get(f"{url}/elsewhere?a=1").json()["path"] == "/elsewhere?a=1"
    assert client.get(url).url == "/"


@pytest.mark.parametrize(
    ("endpoint", "url"),
    [(Endpoint("::1", 1), "http://[::1]:1/"), (Endpoint("shop.test", 443, tls=True), "https://shop.test/")],
    ids=["IPv6", "default port"],
)
def test_addresses_of_a_cluster_before_the_path(monkeypatch: pytest.MonkeyPatch, endpoint: Endpoint, url: str) -> None:
    """The request goes out, to nobody here."""

    def refuse(self: Endpoint, method: str, path: str, *rest: object) -> None:
        raise ConnectionRefusedError(path)

    monkeypatch.setattr(Endpoint, "request", refuse)
    with pytest.raises(ConnectionRefusedError, match=r"^/$"):
        Client(endpoint, lambda worker: None).get(url)


def test_url_of_somebody_else_is_not_the_clusters_to_answer(client: Client) -> None:
    sentence = r"expected a path of the cluster's, got 'http://example\.com/a': another host goes into headers="
    for ask in client.get, client.get_many:
        with pytest.raises(OptionError, match=sentence):
            ask("http://example.com/a")
    assert client.get("http://example.com/a", headers={"Host": "example.com"}).json()["path"] == "/a"


def test_cookies_and_redirects(client: Client) -> None:
    """As in a browser: what the first answer sets goes with the next request, where its path says so."""
    left = client.post("/login", data={"name": "Ada"})
    assert (left.status, left.location, left.cookies) == (302, "/me", {"user": "ada", "seen": "1"})
    assert client.get("/me").json()["cookie"] == "user=ada"

    followed = client.post("/login", data={"name": "Ada"}, follow_redirects=True)
    assert followed.json() == {"method": "GET", "path": "/me", "body": "", "cookie": "user=ada"}
    assert [one.status for one in followed.history] == [302]
    assert dict(client.cookies) == {"user": "ada", "seen": "1"}

    assert client.get("/me", cookies={"a": "b"}).json()["cookie"] == "user=ada; a=b"
    assert client.get("/me", headers={"Cookie": "own=1"}).json()["cookie"] == "own=1"
    client.cookies["c"] = "d"
    assert client.get("/me").json()["cookie"] == "user=ada; c=d"
    del client.cookies["user"]
    assert client.cookies.get("user") is None
    client.forget()
    assert client.get("/me").json()["cookie"] is None


def test_many_requests_are_of_people_who_come_for_the_first_time(client: Client) -> None:
    client.get("/login")

    assert [json.loads(hit.text)["cookie"] for hit in client.get_many("/me", 2)] == [None, None]


def test_redirect_that_cannot_be_followed(client: Client) -> None:
    with pytest.raises(RedirectLoop, match="GET /loop: 20 redirects, and another, to /loop"):
        client.get("/loop", follow_redirects=True)
    with pytest.raises(ForeignRedirect, match=r"GET /away leads to https://example.com/, which is not the cluster's"):
        client.get("/away", follow_redirects=True)
    assert client.get("/away").location == "https://example.com/"


def test_compressed_answer(client: Client) -> None:
    answer = client.get("/gzip")
    assert answer.json()["path"] == "/gzip"
    assert answer.body != answer.content


def test_answer_that_is_no_json(client: Client) -> None:
    with pytest.raises(
        ValueError, match=r"the answer is no JSON \(Expecting value.*\): <200 from nobody under test: b''>"
    ):
        client.head("/").json()


@pytest.mark.parametrize("call", ["get", "submit", "get_many"])
def test_wrong_keyword_is_refused_at_once(client: Client, call: str) -> None:
    with pytest.raises(TypeError, match=r"a request has no keyword 'param' \(say params\); it has params, "):
        getattr(client, call)("/", param={})


@pytest.mark.parametrize("path", ["/stuck", "/events"])
def test_request_lasts_no_longer_than_its_test(client: Client, path: str) -> None:
    """Whatever its own time-out is, and though bytes come and come."""
    former = end_waits_at(time.monotonic() + 0.3)
    try:
        with pytest.raises(WaitTimeout, match=rf"GET {path} within 300 s, .*: the wait ended after .* pytest-timeout"):
            client.get(path, timeout=300)
        with pytest.raises(WaitTimeout, match="the wait ended after"):  # there is no time left
            client.get("/")
    finally:
        end_waits_at(former)


def test_silence_is_what_a_time_out_counts(client: Client) -> None:
    with pytest.raises(WaitTimeout, match=r"GET /stuck within 0.2 s, which did not happen$"):
        client.get("/stuck", timeout=0.2)


def test_time_out_of_requests_is_a_pair(client: Client) -> None:
    with pytest.raises(WaitTimeout, match=r"GET /stuck within 0.2 s, which did not happen$"):
        client.get("/stuck", timeout=(3, 0.2))
    assert client.get("/", timeout=(3, None)).ok
    with pytest.raises(OptionError, match=r"timeout: expected a number of seconds, more than 0, got \(1, 2, 3\)"):
        client.get("/", timeout=(1, 2, 3))  # type: ignore[arg-type]


def test_body_that_breaks_off() -> None:
    def serve() -> None:
        client, _ = listener.accept()
        with client:
            client.recv(65536)
            client.sendall(b"HTTP/1.1 200 OK\r\nContent-Length: 10\r\n\r\nabc")

    with socket.create_server(("127.0.0.1", 0)) as listener:
        thread = threading.Thread(target=serve)
        thread.start()
        with pytest.raises(http.client.IncompleteRead):
            Endpoint(*listener.getsockname()).request("GET", "/", timeout=20)
        thread.join(20)
