"""What a request of the plugin's client looks like on the wire."""

from __future__ import annotations

import socket
import threading

import pytest

from pytest_cluster.requests.client import Client
from pytest_cluster.requests.endpoint import Endpoint


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


@pytest.mark.parametrize("concurrency", [0, 1001])
def test_impossible_concurrency_is_refused(concurrency: int) -> None:
    client = Client(Endpoint("127.0.0.1", 1), lambda worker: None)
    with pytest.raises(ValueError, match=f"expected a concurrency of 1 to 1000, got {concurrency}"):
        client.get_many(concurrency=concurrency)
    with pytest.raises(ValueError, match="expected a concurrency"), client.load(concurrency=concurrency):
        pass


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
