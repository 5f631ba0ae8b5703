"""What answers on the path may be anything: a sentence says so."""

from __future__ import annotations

import json
import socket
import struct
import threading
from collections.abc import Callable, Iterator
from contextlib import closing, suppress
from pathlib import Path

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
        with closing(sock), closing(sock.accept()[0]) as client, suppress(ConnectionError):
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


def answered(result: object) -> bytes:
    return framed({"status": "ok", "data": {"slot": 1, "pid": 5, "result": json.dumps(result)}})


STACKS = {"seconds": 1, "rate": 10, "samples": 1, "idle": 0, "stacks": {"a (/x.py:1)": 1}}


@pytest.mark.parametrize(
    ("words", "result", "sentence"),
    [
        (
            ["profile", "1"],
            {"error": "\x1b]0;owned\x07\x1b[2J" + "x" * 5000},
            "could not do it: \\x1b]0;owned\\x07\\x1b[2J",
        ),
        (["heap", "1"], {"error": "\x1b[2J"}, "could not do it: \\x1b[2J"),
        (["profile", "1", "--format", "speedscope"], {**STACKS, "stacks": {"a": 10**400}}, "counts beyond reason"),
        (["profile", "1"], {**STACKS, "seconds": 1e300}, "counts beyond reason"),
        (["heap", "1"], {"tracing": True, "bytes": 10**400, "peak_bytes": 1, "lines": []}, "does not understand"),
    ],
)
def test_worker_writes_no_more_than_a_sentence_on_the_terminal(
    serve: Serve, words: list[str], result: object, sentence: str, capsys: pytest.CaptureFixture[str]
) -> None:
    assert main([*words, "--control-socket", serve(answered(result))]) == 1
    said = capsys.readouterr()
    assert said.out == ""
    assert sentence in said.err
    assert said.err.removesuffix("\n").isprintable()
    assert len(said.err) < 1200


def test_path_that_is_empty_is_no_other_server(capsys: pytest.CaptureFixture[str]) -> None:
    """As of a variable that is not set: the command would go to the server at the usual place."""
    assert main(["--control-socket", "", "kill", "1"]) == 2
    assert "expected --control-socket to be a path, got an empty one" in capsys.readouterr().err


@pytest.mark.parametrize("former", ["yesterday\n", None])
def test_profile_takes_the_place_of_a_file_only_when_there_is_one(
    serve: Serve, tmp_path: Path, former: str | None, capsys: pytest.CaptureFixture[str]
) -> None:
    file = tmp_path / "profile"
    if former is not None:
        file.write_text(former)
    refused = serve(framed({"status": "error", "error": "no such worker"}))
    assert main(["profile", "99", "-o", str(file), "--control-socket", refused]) == 1
    assert (file.read_text() if file.exists() else None) == former
    assert main(["profile", "1", "-o", str(file), "--control-socket", serve(answered(STACKS))]) == 0
    assert file.read_text() == "a (/x.py:1) 1\n"
    assert main(["profile", "1", "-o", "/dev/stdout", "--control-socket", serve(answered(STACKS))]) == 0
    assert main(["profile", "1", "-o", "/dev/null", "--control-socket", serve(answered(STACKS))]) == 0
    assert main(["profile", "1", "-o", str(tmp_path / "no" / "file"), "--control-socket", serve(b"")]) == 1
    assert "No such file or directory" in capsys.readouterr().err
