"""One connection of a worker that routes: what is decided about its requests, and what goes along."""

from __future__ import annotations

import logging
import socket
from typing import Any

import pytest

from nodecluster_compat._gunicorn.arbiter.peeked_keys import PeekedKeys
from nodecluster_compat._gunicorn.requests.passage import Passage
from nodecluster_compat.connections.handed import MOST_HANDED_BYTES, Handed
from nodecluster_compat.routing import EngineIO, Query
from nodecluster_compat.routing.keys import FunctionKey, Path
from nodecluster_compat.routing.relays import Relays
from nodecluster_compat.routing.router import ANYONE, HERE, MORE, Router

SID = "wGf0hLQyoVuhV3R6AAAA"
MINE = f"GET /?EIO=4&sid={SID}.11 HTTP/1.1\r\n\r\n".encode()
OTHER = f"GET /?EIO=4&sid={SID}.12 HTTP/1.1\r\n\r\n".encode()
NEW = b"GET /?EIO=4 HTTP/1.1\r\n\r\n"
PROXY = b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n"
MEMBERS = {1: 11, 2: 12}
LOG = logging.getLogger("test")


class Sent:
    """A passage, and what it has handed on."""

    def __init__(self, early: bytes = b"", *, has_proxy_header: bool = False, takes: bool = True) -> None:
        self.sent: list[tuple[int, int, Handed]] = []
        router = Router([EngineIO()], 11, lambda: MEMBERS, LOG)
        self.takes = takes
        self.passage = Passage(router, self._send, ("10.0.0.1", 5), early, Relays(), has_proxy_header=has_proxy_header)

    def _send(self, *sent: Any) -> bool:
        self.sent.append(sent)
        return self.takes


def test_requests_are_decided_one_by_one() -> None:
    passage = Sent().passage
    decisions = [passage.decide(data, number > 0) for number, data in enumerate((NEW, MINE, OTHER, NEW, b"GET"))]
    assert decisions == [HERE, HERE, 12, ANYONE, MORE]


def test_what_another_worker_has_handed_on_is_served_here_whatever_its_key_says() -> None:
    passage = Sent(OTHER).passage
    assert passage.decide(OTHER, False) == HERE
    assert passage.decide(OTHER, True) == 12


def test_all_that_was_read_goes_along_with_the_address() -> None:
    rig = Sent()
    assert rig.passage.hand_on(12, 9, socket.AF_INET, OTHER, False)
    assert rig.sent == [(12, 9, Handed(socket.AF_INET, ("10.0.0.1", 5), OTHER))]
    assert not Sent(takes=False).passage.hand_on(12, 9, socket.AF_INET, OTHER, False)


def test_too_much_is_served_where_it_is() -> None:
    rig = Sent()
    assert not rig.passage.hand_on(12, 9, socket.AF_INET, bytes(MOST_HANDED_BYTES + 1), False)
    assert rig.sent == []


def test_the_proxy_protocols_header_goes_along_with_every_request_of_its_connection() -> None:
    rig = Sent(has_proxy_header=True)
    passage = rig.passage
    for size in (0, 3, len(PROXY) - 1, len(PROXY), len(PROXY) + 3):
        assert passage.decide((PROXY + OTHER)[:size], False) == MORE
    assert passage.decide(PROXY + MINE, False) == HERE
    assert passage.decide(OTHER, True) == 12
    passage.hand_on(12, 9, socket.AF_INET, OTHER, True)
    assert rig.sent[0][2].data == PROXY + OTHER
    again = Sent(PROXY + OTHER, has_proxy_header=True)
    assert again.passage.decide(PROXY + OTHER, False) == HERE
    assert again.passage.decide(MINE, True) == HERE


def test_head_in_single_bytes_is_decided_by_its_last() -> None:
    for data in (OTHER, PROXY + OTHER):
        passage = Sent(has_proxy_header=data.startswith(PROXY)).passage
        decisions = [passage.decide(data[:size], False) for size in range(1, len(data) - 1)]
        assert decisions == [MORE] * (len(data) - 3) + [12]


@pytest.mark.parametrize(
    ("data", "target"),
    [
        (OTHER, 12),
        (PROXY + OTHER, 12),
        (OTHER.replace(b".12", b".99"), 0),
        (OTHER[:-30], 0),
        (b"GET / HTTP/1.1\r\nA: " + OTHER[5:], 0),
        (NEW, 0),
        (b"", 0),
        (b"GET", 0),
        (b"\x16\x03\x01\n", 0),
    ],
)
def test_primary_looks_whose_a_connection_is(data: bytes, target: int) -> None:
    assert PeekedKeys(lambda: MEMBERS, None, LOG)(data) == target
    assert PeekedKeys(lambda: MEMBERS, (EngineIO(), Query("up")), LOG)(data) == target


def test_primary_calls_no_function_of_a_program() -> None:
    called: list[object] = []
    keys = Query("up"), FunctionKey(called.append), EngineIO()
    assert PeekedKeys(lambda: MEMBERS, keys, LOG)(OTHER) == 0  # the function might have said something else
    assert PeekedKeys(lambda: MEMBERS, keys, LOG)(b"GET /?up=1 HTTP/1.1\r\n\r\n") in (11, 12)
    assert PeekedKeys(lambda: MEMBERS, (), LOG)(OTHER) == 0
    assert called == []


def test_primary_runs_no_expression_of_a_program(monkeypatch: pytest.MonkeyPatch) -> None:
    """One with a loop within a loop takes twice as long for each further letter that a client sends."""
    run: list[object] = []
    monkeypatch.setattr(Path, "find", lambda self, head: run.append(head))
    path = Path(r"/((?:[a-z]+-?)+)/x")
    look = PeekedKeys(lambda: MEMBERS, (Query("up"), path, EngineIO()), LOG)
    assert look(OTHER) == 0  # the expression might have found something else
    assert look(b"GET /?up=1 HTTP/1.1\r\n\r\n") in (11, 12)
    assert not look.sees_nothing
    assert PeekedKeys(lambda: MEMBERS, (path, Query("up")), LOG).sees_nothing
    assert run == []
