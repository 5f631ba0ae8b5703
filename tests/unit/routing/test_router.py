"""Who serves a request: the keys' word, and what becomes of it where they are wrong."""

from __future__ import annotations

import logging
from typing import Any

import pytest

from nodecluster_compat.routing import ANYBODY, Cookie, EngineIO, Field, Path, Query
from nodecluster_compat.routing.keys import FunctionKey
from nodecluster_compat.routing.router import ANYONE, HERE, MORE, Router

SID = "wGf0hLQyoVuhV3R6AAAA"
MEMBERS = {1: 11, 2: 12, 3: 13}
LOG = logging.getLogger("routing")


def router(*keys: Any, members: Any = MEMBERS, clock: Any = lambda: 0.0) -> Any:
    return Router(keys, 11, lambda: members, LOG, clock)


def request(target: Any = "/", *fields: Any) -> Any:
    return "\r\n".join([f"GET {target} HTTP/1.1", *fields, "", ""]).encode()


@pytest.mark.parametrize(
    ("worker_id", "decision"), [(12, 12), (11, HERE), (4, HERE), (99, HERE)], ids=["foreign", "own", "dead", "unknown"]
)
def test_a_session_goes_to_its_worker_if_that_serves(worker_id: Any, decision: Any) -> None:
    assert router(EngineIO()).decide(request(f"/?EIO=4&sid={SID}.{worker_id}"), is_reused=False) == decision


def test_a_new_session_is_dealt_afresh_on_a_connection_that_was_used_before() -> None:
    assert router(EngineIO()).decide(request("/?EIO=4"), is_reused=False) == HERE
    assert router(EngineIO()).decide(request("/?EIO=4"), is_reused=True) == ANYONE


def test_a_new_session_stays_with_the_only_worker() -> None:
    """The trip through the primary, or a relay to itself, would change nothing."""
    assert router(EngineIO(), members={1: 11}).decide(request("/?EIO=4"), is_reused=True) == HERE


def test_text_that_no_encoding_holds_is_a_value_like_others() -> None:
    """As JSON has it, and a function may return."""
    lone = router(FunctionKey(lambda _: "\ud800"))
    assert lone.decide(request(), is_reused=False) in (HERE, 12, 13)


def test_the_first_line_is_enough_for_some_keys() -> None:
    whole = request(f"/?EIO=4&sid={SID}.12", "Host: x")
    for size in range(len(whole)):
        decision = router(EngineIO()).decide(whole[:size], is_reused=False)
        assert decision == (12 if b"\n" in whole[:size] else MORE)


def test_other_keys_wait_for_the_whole_head() -> None:
    whole = request("/", "Host: x", "X-Tenant: blue")
    for size in range(len(whole)):
        assert router(Field("X-Tenant")).decide(whole[:size], is_reused=False) == MORE
    assert router(Field("X-Tenant")).decide(whole, is_reused=False) != MORE


@pytest.mark.parametrize("data", [b"x" * 70_000, b"PRI * HTTP/2.0\r\n\r\nSM\r\n\r\n"])
def test_what_will_be_no_head_is_not_waited_for(data: Any) -> None:
    assert router(EngineIO(), Field("a")).decide(data, is_reused=False) == HERE


def decided(key: Any, value: Any) -> Any:
    requests = {
        Query: request(f"/?up={value}"),
        Path: request(f"/up/{value}/x"),
        Cookie: request("/", f"Cookie: up={value}"),
        Field: request("/", f"up: {value}"),
    }
    return router(key).decide(requests[type(key)], is_reused=False)


@pytest.mark.parametrize("key", [Query("up"), Path(r"/up/([^/]+)/"), Cookie("up"), Field("Up")])
def test_equal_values_go_to_the_same_worker_and_values_are_spread(key: Any) -> None:
    decisions = [decided(key, f"value{number}") for number in range(300)]
    assert decisions == [decided(key, f"value{number}") for number in range(300)]
    assert {worker: decisions.count(worker) > 60 for worker in (HERE, 12, 13)} == dict.fromkeys((HERE, 12, 13), True)


def test_a_successor_in_the_same_slot_gets_what_its_predecessor_had() -> None:
    later = {**MEMBERS, 2: 24}
    for number in range(50):
        data = request(f"/?up={number}")
        before = router(Query("up")).decide(data, is_reused=False)
        after = router(Query("up"), members=later).decide(data, is_reused=False)
        assert after == (24 if before == 12 else before)


def test_the_first_key_that_finds_something_counts() -> None:
    keys = EngineIO(), Query("up"), FunctionKey(lambda head: 13 if head.path == "/here" else None)
    assert router(*keys).decide(request(f"/?EIO=4&sid={SID}.12&up=1"), is_reused=False) == 12
    assert router(*keys).decide(request("/here"), is_reused=False) == 13
    assert router(*keys).decide(request("/there"), is_reused=False) == HERE


def test_nobody_else_serves() -> None:
    assert router(Query("up"), members={}).decide(request("/?up=1"), is_reused=False) == HERE


@pytest.mark.parametrize("answer", [True, 1.5, b"x", [12]])
def test_a_key_that_finds_nonsense_is_passed_over(answer: Any, caplog: pytest.LogCaptureFixture) -> None:
    keys = FunctionKey(lambda _: answer), FunctionKey(lambda _: 12)
    assert router(*keys).decide(request(), is_reused=False) == 12
    assert "expected a worker's id, text, ANYBODY or None" in caplog.text


def test_a_key_that_raises_is_passed_over_and_told_once_a_minute(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    def broken(_: Any) -> Any:
        raise ValueError("no")

    one = router(FunctionKey(broken), FunctionKey(lambda _: 12), clock=lambda: now[0])
    for seconds in (0, 1, 59, 61):
        now[0] = seconds
        assert one.decide(request(), is_reused=False) == 12
    assert [record.getMessage().partition(":")[0] for record in caplog.records] == ["The routing key broken failed"] * 2


def test_a_key_that_takes_a_second_is_obeyed_and_told(caplog: pytest.LogCaptureFixture) -> None:
    now = [0.0]

    def slow(_: Any) -> Any:
        now[0] += 1
        return 12

    assert router(FunctionKey(slow), clock=lambda: now[0]).decide(request(), is_reused=False) == 12
    assert "The routing key slow took 1.0 s" in caplog.text


def test_anybody_may_be_said_by_a_function() -> None:
    assert router(FunctionKey(lambda _: ANYBODY)).decide(request(), is_reused=True) == ANYONE
