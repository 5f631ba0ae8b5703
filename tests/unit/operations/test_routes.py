"""HTTP answers by path."""

from __future__ import annotations

import pytest

from nodecluster_compat.operations.control_frames import Garbage, HttpHead
from nodecluster_compat.operations.routes import HttpAnswer, Routes, json_answer


@pytest.fixture
def routes() -> Routes:
    made = Routes()
    made.on("/a", lambda _: json_answer({"x": 1}, 503))
    return made


def test_path_is_answered_by_its_handler(routes: Routes) -> None:
    head, _, body = routes.answer(HttpHead("GET", "/a?pretty=1")).partition(b"\r\n\r\n")
    assert head.startswith(b"HTTP/1.1 503 Service Unavailable\r\n")
    assert b"Content-Type: application/json\r\nContent-Length: 8" in head
    assert body == b'{"x":1}\n'


def test_head_has_no_body(routes: Routes) -> None:
    assert routes.answer(HttpHead("HEAD", "/a")).endswith(b"\r\n\r\n")
    assert routes.answer(HttpHead("HEAD", "/nowhere")).endswith(b"\r\n\r\n")


def test_nothing_is_changed_by_http(routes: Routes) -> None:
    answer = routes.answer(HttpHead("POST", "/a"))
    assert answer.startswith(b"HTTP/1.1 405 Method Not Allowed\r\n")
    assert b"Allow: GET, HEAD" in answer


def test_unknown_path_is_told_the_known_ones(routes: Routes) -> None:
    assert routes.answer(HttpHead("GET", "/b")).endswith(b"expected one of /a\n")


def test_garbage_is_a_bad_request(routes: Routes) -> None:
    assert routes.answer(Garbage("why", is_http=True)).startswith(b"HTTP/1.1 400 Bad Request\r\n")


def test_handler_that_raises_is_an_answer(routes: Routes) -> None:
    def broken(_: HttpHead) -> HttpAnswer:
        raise OSError("the disk")

    routes.on("/broken", broken)
    answer = routes.answer(HttpHead("GET", "/broken"))
    assert answer.startswith(b"HTTP/1.1 500 ")
    assert answer.endswith(b"OSError: the disk\n")


def test_path_has_one_handler(routes: Routes) -> None:
    with pytest.raises(ValueError, match="/a"):
        routes.on("/a", lambda _: json_answer({}))


def test_error_with_the_name_of_any_file_is_told() -> None:
    def broken(_: HttpHead) -> HttpAnswer:
        raise ValueError("/run/caf\udce9")

    routes = Routes()
    routes.on("/broken", broken)
    assert routes.answer(HttpHead("GET", "/broken")).endswith(b"\r\n\r\nValueError: /run/caf\\udce9\n")
