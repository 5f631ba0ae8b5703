"""Flask, Django and a websocket run unchanged; so do very large bodies."""

from __future__ import annotations

import http.client
from collections.abc import Iterator

import pytest
from websocket_client import WebSocketClient

from pytest_cluster import Cluster

MEBIBYTE = 1024 * 1024


def zeros(size: int) -> Iterator[bytes]:
    for _ in range(size):
        yield bytes(MEBIBYTE)


@pytest.mark.cluster(workers=2, app="flask_app:app")
def test_flask_serves_json_forms_streams_and_websockets(cluster: Cluster) -> None:
    """What a Flask application does every day."""
    assert cluster.get("/json?a=1").json() == {"path": "/json", "args": {"a": "1"}}
    form = {"Content-Type": "application/x-www-form-urlencoded"}
    assert cluster.request("POST", "/form", body=b"name=ada", headers=form).json() == {"name": "ada"}
    assert cluster.get("/stream").text == "0,1,2,3,4,"
    assert cluster.get("/nothing").status == 404
    websocket = WebSocketClient.connect(f"ws://{cluster.host}:{cluster.port}/echo")
    for message in ("hello", "x" * 70_000, b"\x00\x01"):
        websocket.send(message)
        assert websocket.receive(timeout=10) == message
    websocket.close()


@pytest.mark.slow
@pytest.mark.cluster(workers=2, app="flask_app:app")
def test_two_hundred_megabytes_up_and_down(cluster: Cluster) -> None:
    """A 200 MiB upload with and without a length, and a download of the same size."""
    client = http.client.HTTPConnection(cluster.host, cluster.port, timeout=50)
    client.request("POST", "/upload", body=zeros(200), headers={"Content-Length": str(200 * MEBIBYTE)})
    assert client.getresponse().read() == b'{"length":209715200}\n'
    client.request("POST", "/upload", body=zeros(20), encode_chunked=True, headers={"Transfer-Encoding": "chunked"})
    assert client.getresponse().read() == b'{"length":20971520}\n'
    client.request("GET", "/download/200")
    answer, length = client.getresponse(), 0
    while data := answer.read(MEBIBYTE):
        length += len(data)
    assert length == 200 * MEBIBYTE
    client.close()


@pytest.mark.cluster(workers=2, app="django_app:app")
def test_django_serves(cluster: Cluster) -> None:
    """A view with an argument, a method and a body."""
    assert cluster.get("/hello/ada").json() == {"hello": "ada", "method": "GET", "length": 0}
    assert cluster.get("/nothing").status == 404
