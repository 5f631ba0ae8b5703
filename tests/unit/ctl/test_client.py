"""What answers on the path may be anything: a sentence says so."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing

import pytest

from nodecluster_compat.ctl.main import main

Serve = Callable[[bytes], str]


def framed(answer: object) -> bytes:
    data = json.dumps(answer).encode()
    return struct.pack(">I", len(data)) + data


@pytest.fixture
def serve(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Serve]:
    """Answer the only client with some bytes; return the path."""
    threads = []

    def answer(sock: socket.socket, data: bytes) -> None:
        with closing(sock), closing(sock.accept()[0]) as client:
            client.recv(4096)
            client.sendall(data)

    def start(data: bytes) -> str:
        path = str(tmp_path_factory.mktemp("s") / "ctl")
        sock = socket.socket(socket.AF_UNIX)
        sock.bind(path)
        sock.listen()
        threads.append(threading.Thread(target=answer, args=(sock, data)))
        threads[-1].start()
        return path

    yield start
    for thread in threads:
        thread.join()


@pytest.mark.parametrize(
    ("data", "status", "sentence"),
    [
        (b"", 2, "has gone: the connection was closed"),
        (b"\0\0\0\x09short", 2, "has gone: the connection was closed"),
        (b"HTTP/1.1 400 Bad Request\r\n\r\n", 2, "is no server of this kind: expected at most 67108864 bytes"),
        (b"\0\0\0\x02[[", 2, "is no server of this kind: Expecting value"),
        (struct.pack(">I", 100_000) + b"[" * 100_000, 2, "is no server of this kind: "),
        (framed([]), 2, "is no server of this kind: it sends no JSON object"),
        (framed({"status": "ok", "data": [1]}), 2, "is no server of this kind: it sends no JSON object"),
        (framed({"status": "ok"}), 1, "says what this version does not understand: KeyError('live')"),
        (framed({}), 1, "the server gave no reason"),
        (framed({"status": "error", "error": "Invalid argument: Unknown command: cluster"}), 1, "has no cluster: "),
    ],
)
def test_answer_that_makes_no_sense(
    serve: Serve, data: bytes, status: int, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main(["live", "--control-socket", serve(data)]) == status
    said = capsys.readouterr()
    assert said.out == ""
    assert said.err.startswith("nodeclusterctl: ")
    assert sentence in said.err
    assert said.err.count("\n") == 1
