"""Who may read what an admin address on loopback answers."""

from __future__ import annotations

import pytest

from nodecluster_compat.operations.control_frames import HttpHead, first_request
from nodecluster_compat.operations.local_routes import LocalRoutes, names_this_machine
from nodecluster_compat.operations.routes import Routes, json_answer


@pytest.fixture
def routes() -> LocalRoutes:
    made = Routes()
    made.on("/a", lambda _: json_answer({"x": 1}))
    return LocalRoutes(made)


@pytest.mark.parametrize(
    "host",
    ["", "localhost", "LOCALHOST:9091", "localhost.:9091", "app.localhost", "127.0.0.1", "127.0.0.1:9091", "[::1]:9091",
     "10.0.0.1", "[::1]"],
)  # fmt: skip
def test_names_that_no_name_server_gives(host: str) -> None:
    assert names_this_machine(host)


@pytest.mark.parametrize(
    "host",
    ["evil.example", "evil.example:9091", "127.0.0.1.evil.example", "localhost.evil.example", "notlocalhost",
     "[evil]:1", "a:b:c", "127.0.0.1,evil.example", "0x7f000001", "[127.0.0.1", "evil.example@127.0.0.1"],
)  # fmt: skip
def test_names_that_may_be_made_to_lead_here(host: str) -> None:
    assert not names_this_machine(host)


def test_foreign_name_is_refused_by_a_sentence(routes: LocalRoutes) -> None:
    answer = routes.answer(HttpHead("GET", "/a", host="evil.example"))
    assert answer.startswith(b"HTTP/1.1 403 Forbidden\r\n")
    assert answer.endswith(b"got 'evil.example'\n")
    assert routes.answer(HttpHead("HEAD", "/a", host="evil.example")).endswith(b"\r\n\r\n")


def test_any_name_is_good_where_other_machines_ask(routes: LocalRoutes) -> None:
    routes.is_loopback = False
    assert routes.answer(HttpHead("GET", "/a", host="metrics.example")).startswith(b"HTTP/1.1 200 OK")


def test_name_is_read_from_the_head(routes: LocalRoutes) -> None:
    """Two of them name nobody."""
    for fields, status in ((b"Host: localhost\r\n", b"200"), (b"HOST:evil.example\r\n", b"403"), (b"", b"200")):
        parsed = first_request(b"GET /a HTTP/1.1\r\n" + fields + b"\r\n")
        assert parsed is not None
        assert isinstance(parsed[0], HttpHead)
        assert routes.answer(parsed[0]).split(b" ")[1] == status
    twice = first_request(b"GET /a HTTP/1.1\r\nHost: localhost\r\nHost: evil.example\r\n\r\n")
    assert twice is not None
    assert isinstance(twice[0], HttpHead)
    assert routes.answer(twice[0]).split(b" ")[1] == b"403"
