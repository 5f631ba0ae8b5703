"""What a function imports of a module that is known, it gets without asking that module anything else."""

from __future__ import annotations

import json
import urllib.parse
from types import FunctionType
from typing import Any

import pytest
from gunicorn import version_info

if version_info < (27, 0, 1):
    pytest.skip("ours needs a newer gunicorn", allow_module_level=True)

from gunicorn.asgi.parser import CallbackRequest, InvalidRequestLine, PythonProtocol

from nodecluster_compat._gunicorn.worker.asgi.known_imports import answer_imports, with_known_imports


def function(count: int = 2) -> tuple[Any, Any, int]:
    from json import dumps
    from urllib.parse import unquote_to_bytes

    return dumps, unquote_to_bytes, count


def asked(name: str) -> object:
    raise AssertionError(f"asked for {name}")


def test_known_module_is_asked_for_nothing_else(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(urllib.parse, "__getattr__", asked, raising=False)
    assert isinstance(function, FunctionType)
    quick = with_known_imports(function, {"urllib.parse": urllib.parse})
    assert quick() == (json.dumps, urllib.parse.unquote_to_bytes, 2)
    with pytest.raises(AssertionError, match="__path__"):
        function()


@pytest.fixture
def quick_requests(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(CallbackRequest, "from_parser", CallbackRequest.__dict__["from_parser"])  # puts it back
    answer_imports()
    monkeypatch.setattr(urllib.parse, "__getattr__", asked, raising=False)


def parsed(target: bytes) -> PythonProtocol:
    parser = PythonProtocol()
    parser.feed(b"GET " + target + b" HTTP/1.1\r\nHost: a\r\n\r\n")
    return parser


@pytest.mark.usefixtures("quick_requests")
def test_requests_are_made_as_before() -> None:
    request = CallbackRequest.from_parser(parsed(b"/a%20b?c=%20"), is_ssl=True)
    assert isinstance(request, CallbackRequest)
    assert (request.path, request.raw_path, request.query, request.scheme) == ("/a b", b"/a%20b", "c=%20", "https")


@pytest.mark.usefixtures("quick_requests")
def test_what_was_refused_is_refused() -> None:
    parser = parsed(b"/")
    parser.path = b"/\x01"
    with pytest.raises(InvalidRequestLine):
        CallbackRequest.from_parser(parser)
