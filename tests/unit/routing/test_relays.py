"""What is broken of a worker's relays when it leaves: sessions of Engine.IO, whose clients come back by themselves."""

from __future__ import annotations

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.routing.relays import Carried, Relays

SID = "wGf0hLQyoVuhV3R6AAAA.2"
POLL = f"GET /socket.io/?EIO=4&transport=polling&sid={SID} HTTP/1.1\r\nHost: x\r\n\r\n".encode()
WEBSOCKET = POLL.replace(b"polling", b"websocket")
PAGE = b"GET /page?upload=1 HTTP/1.1\r\nReferer: /?EIO=4 \r\n\r\n"


class Rig:
    def __init__(self) -> None:
        self.relays = Relays()
        self.broken: list[str] = []

    def carry(self, early: bytes, name: str = "it") -> Carried:
        return self.relays.carry(early, lambda: self.broken.append(name))


@pytest.mark.parametrize(
    "early",
    [POLL, WEBSOCKET, b"\r\n" + POLL, b"PROXY TCP4 192.0.2.1 192.0.2.2 5000 80\r\n" + POLL, bytearray(POLL)],
    ids=["poll", "websocket", "empty line", "proxied", "bytearray"],
)
def test_what_belongs_to_engineio_is_broken(early: bytes) -> None:
    rig = Rig()
    rig.carry(early)
    assert rig.broken == []
    rig.relays.leave()
    assert rig.broken == ["it"]


@pytest.mark.parametrize("early", [PAGE, b"", b"GET", b"\n" * 70_000, b"EIO=4\n"])
def test_any_other_request_has_the_time_of_the_drain(early: bytes) -> None:
    rig = Rig()
    rig.carry(early)
    rig.relays.leave()
    assert rig.broken == []


def test_what_counts_is_the_request_that_is_under_way() -> None:
    """A body is none, whatever it says; after an answer another request begins, and its head may come in pieces."""
    rig = Rig()
    carried = rig.carry(PAGE)
    carried.up(POLL)
    assert not carried.comes_back
    carried.down(b"HTTP/1.1 200 OK\r\n\r\n")
    carried.up(POLL[:20])
    assert not carried.comes_back
    carried.up(POLL[20:])
    assert carried.comes_back
    carried.down(b"HTTP/1.1 200 OK\r\n\r\n")
    assert carried.comes_back  # it is idle, and its client asks again elsewhere
    carried.up(PAGE)
    assert not carried.comes_back


def test_a_websocket_stays_one_whatever_goes_over_it() -> None:
    rig = Rig()
    carried = rig.carry(WEBSOCKET)
    carried.down(b"HTTP/1.1 101 Switching Protocols\r\n\r\n")
    carried.up(PAGE)
    assert carried.comes_back


def test_a_session_that_comes_while_the_worker_leaves_is_broken_as_well() -> None:
    rig = Rig()
    carried = rig.carry(PAGE, "first")
    rig.relays.leave()
    carried.down(b"HTTP/1.1 200 OK\r\n\r\n")
    carried.up(POLL)
    rig.carry(POLL, "second")
    assert rig.broken == ["first", "second"]


def test_what_has_ended_is_not_broken() -> None:
    rig = Rig()
    carried = rig.carry(POLL)
    carried.ended()
    carried.ended()
    rig.relays.leave()
    assert rig.broken == []


@given(st.data(), st.sampled_from([POLL, WEBSOCKET, PAGE]))
def test_a_head_may_come_in_any_pieces(data: st.DataObject, whole: bytes) -> None:
    carried, rest = Rig().carry(b""), whole
    while rest:
        size = data.draw(st.integers(1, len(rest)))
        carried.up(rest[:size])
        rest = rest[size:]
    assert carried.comes_back == (whole is not PAGE)
