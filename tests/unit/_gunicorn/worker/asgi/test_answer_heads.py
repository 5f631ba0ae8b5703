"""Heads of ASGI answers are checked and written as by gunicorn, to the byte; in C as without it."""

from __future__ import annotations

from types import SimpleNamespace
from typing import Any

import pytest
from gunicorn import version_info

from nodecluster_compat.base.native import PYTHON, Choice, in_force

if version_info < (27, 0, 1):
    pytest.skip("ours needs a newer gunicorn", allow_module_level=True)

from gunicorn.asgi import protocol

from nodecluster_compat._gunicorn.worker.asgi.answer_heads import head_writer, scanner

SCAN = protocol._scan_response_headers  # gunicorn's: no worker has been here
IN_C = pytest.param(in_force(), id="native", marks=pytest.mark.skipif(in_force().module is None, reason="no C here"))
EVERY_BYTE = [bytes([number]) for number in range(256)]


class Name(bytes):
    """Not quite bytes."""


USUAL: list[Any] = [
    [],
    (),
    [(b"content-type", b"text/plain"), (b"content-length", b"4")],
    [(b"Content-Length", b"1"), (b"CONTENT-LENGTH", b"2"), (b"Content_Length", b"3"), (b"content-lengt", b"4")],
    [(b"Transfer-Encoding", b"chunked")],
    ([b"transfer-encodinG", b"gzip, chunked"], (b"x", b"")),
    [(b"dAte", b"then")],
    [(b"Server", b"mine"), (b"set-cookie", b"a=1"), (b"set-cookie", b"b=\xff")],
    [(b"Connection", b"keep-alive")],
    [(b"Datf", b"1"), (b"Connectiom", b"2"), (b"\x03onnection", b"3"), (b"serve2", b"3")],
]
FOR_GUNICORN: list[Any] = [
    [("content-length", "4"), (b"x", "y")],
    [(Name(b"content-length"), b"4")],
    {b"content-length": b"4"}.items(),
    [(b"a", bytearray(b"b"))],
    [(b"", b"nothing")],
    [(b"a b", b"c")],
    [(b"a", b"b\r\nc: d")],
    [(b"a", b"b", b"c")],
    [b"ab"],
    [5],
    None,
]


@pytest.fixture(params=[pytest.param(PYTHON, id="python"), IN_C])
def choice(request: pytest.FixtureRequest) -> Choice:
    chosen: Choice = request.param
    return chosen


def outcome(scan: Any, fields: Any) -> object:
    """What it returns, or what it raises."""
    try:
        return scan(fields)
    except Exception as error:  # noqa: BLE001 - whatever it is
        return type(error), str(error)


def written_by_gunicorn(status: int, fields: Any, version: tuple[int, int], ends: bool) -> bytes:
    connection: Any = SimpleNamespace()
    protocol.ASGIProtocol._send_response_start(connection, status, fields, SimpleNamespace(version=version), ends)
    written: bytes = connection._response_buffer
    return written


@pytest.mark.parametrize("fields", [*USUAL, *FOR_GUNICORN])
def test_fields_are_scanned_as_by_gunicorn(choice: Choice, fields: Any) -> None:
    assert outcome(scanner(choice), fields) == outcome(SCAN, fields)


def test_every_byte_is_judged_as_by_gunicorn(choice: Choice) -> None:
    """In a name and in a value."""
    scan = scanner(choice)
    for byte in EVERY_BYTE:
        for fields in ([(b"a" + byte, b"b")], [(b"a", byte)], [(byte * 14, b"b")]):
            assert outcome(scan, fields) == outcome(SCAN, fields), fields


@pytest.mark.parametrize("ends", [True, False], ids=["last", "not last"])
@pytest.mark.parametrize("fields", USUAL)
def test_heads_are_written_as_by_gunicorn(fields: Any, ends: bool, monkeypatch: pytest.MonkeyPatch) -> None:
    if in_force().module is None:
        pytest.skip("no C here")
    monkeypatch.setattr(protocol, "_cached_date_time", float("inf"))
    write = head_writer(in_force())
    for status, version in ((200, (1, 1)), (404, (1, 0)), (799, (1, 1))):
        head = write(status, fields, SimpleNamespace(version=version), ends)
        assert head == written_by_gunicorn(status, fields, version, ends)


@pytest.mark.parametrize("fields", [FOR_GUNICORN[0], FOR_GUNICORN[1], FOR_GUNICORN[3], *FOR_GUNICORN[7:]])
def test_heads_that_are_not_of_bytes_are_gunicorns(choice: Choice, fields: Any) -> None:
    assert head_writer(choice)(200, fields, SimpleNamespace(version=(1, 1)), False) is None


def test_python_leaves_heads_to_gunicorn() -> None:
    assert head_writer(PYTHON)(200, [], SimpleNamespace(version=(1, 1)), False) is None
    assert scanner(PYTHON) is SCAN


@pytest.mark.parametrize("arguments", [(), (b"", [], b"", b""), (b"", [], b"", "x", True), ("", [], b"", b"", True)])
def test_c_refuses_other_arguments(arguments: Any) -> None:
    native = in_force().module
    if native is None:
        pytest.skip("no C here")
    with pytest.raises(TypeError, match="takes a line"):
        native.write_head(*arguments)
