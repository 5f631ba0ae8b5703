"""What a client sends, cut into requests."""

from __future__ import annotations

import json
import struct
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.operations.control_frames import (
    MOST_BYTES,
    Frame,
    Garbage,
    HttpHead,
    encode_answer,
    encode_refusal,
    first_request,
)


def framed(payload: bytes) -> bytes:
    return struct.pack(">I", len(payload)) + payload


def command(**about: Any) -> bytes:
    return framed(json.dumps(about).encode())


def test_frames_come_one_after_the_other() -> None:
    data = command(id=1, command="help") + command(id="x", command="show", args=["workers", 3])
    first, rest = first_request(data) or (None, b"")
    assert first == Frame(1, "help")
    assert first_request(rest) == (Frame("x", "show", ("workers", "3")), b"")


@given(st.integers(0, len(command(id=1, command="help")) - 1))
def test_half_a_frame_is_no_request_yet(length: int) -> None:
    assert first_request(command(id=1, command="help")[:length]) is None


@pytest.mark.parametrize(
    ("data", "reason"),
    [
        (struct.pack(">I", 100 * 1024 * 1024), "got a frame of 104857600 bytes"),
        (struct.pack(">I", MOST_BYTES + 1), "where 65536 are the most"),
        (framed(b"no json"), "no JSON"),
        (framed(b"\xff"), "no JSON"),
        (framed(b"[" * 60_000), "no JSON"),
        (framed(b"[]"), 'without a "command"'),
        (framed(b'{"command": 3}'), 'without a "command"'),
        (command(command="x", args=3), "no list"),
        (command(command="x", args=[["y"]]), "no list of words"),
        (command(command="x", args={"y": 1}), "no list of words"),
        (command(command="x", id=[1]), 'an "id" that is neither'),
        (framed(b'{"command": "x", "id": %b1%b}' % (b"[" * 900, b"]" * 900)), 'an "id" that is neither'),
    ],
)
def test_garbage_is_told_what_was_expected(data: bytes, reason: str) -> None:
    found = first_request(data)
    assert found is not None
    assert isinstance(found[0], Garbage)
    assert reason in found[0].reason
    assert "expected gunicorn's control protocol" in found[0].reason


def test_head_of_an_http_request() -> None:
    assert first_request(b"GET /livez HTTP/1.1\r\nHost: x\r\n") is None
    assert first_request(b"GET /livez HTTP/1.1\r\nHost: x\r\n\r\n") == (HttpHead("GET", "/livez", host="x"), b"")
    known = b'GET / HTTP/1.1\r\nif-none-match:"a"\r\nAccept: text/html\r\nIf-None-Match: "b"\r\n\r\n'
    asked = b"GET http://127.0.0.1:9091/livez?x=http://y HTTP/1.1\r\n\r\n"
    assert first_request(asked) == (HttpHead("GET", "/livez?x=http://y"), b"")
    assert first_request(known) == (HttpHead("GET", "/", " text/html", '"a", "b"'), b"")
    assert first_request(b"DELETE / HTTP/1.0\r\n\r\nbody") == (HttpHead("DELETE", "/"), b"")


@pytest.mark.parametrize("head", [b"GET /\r\n\r\n", b"HELO there you\r\n\r\n", b"AAAA" + b"A" * MOST_BYTES])
def test_what_begins_with_letters_is_answered_as_http(head: bytes) -> None:
    found = first_request(head)
    assert found is not None
    assert isinstance(found[0], Garbage)
    assert found[0].is_http


@given(st.binary(max_size=200))
def test_nothing_that_comes_raises(data: bytes) -> None:
    found = first_request(data)
    assert found is None or isinstance(found[0], Frame | HttpHead | Garbage)


@pytest.mark.parametrize("number", [2**64, -(2**70), 1.5, "\ud800", None])
def test_any_id_comes_back(number: Any) -> None:
    found = first_request(command(id=number, command="help"))
    assert found is not None
    assert isinstance(found[0], Frame)
    assert json.loads(encode_refusal(found[0].id, "no")[4:])["id"] == number


def test_answers_are_gunicorns() -> None:
    assert json.loads(encode_answer(7, {"a": 1})[4:]) == {"id": 7, "status": "ok", "data": {"a": 1}}
    assert json.loads(encode_refusal(7, "no")[4:]) == {"id": 7, "status": "error", "error": "no"}
