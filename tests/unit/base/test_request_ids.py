"""Which id a request gets, and who may say so."""

from __future__ import annotations

import logging
import string
from contextvars import Context, copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat import http
from nodecluster_compat.base.request_ids import NewIds, said_id
from nodecluster_compat.base.this_request import REQUEST_ID

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def test_peer_says_the_id_or_the_trace() -> None:
    assert said_id("a1B2-c3", PARENT) == "a1B2-c3"
    assert said_id(None, PARENT) == TRACE
    assert said_id("not sane", PARENT) == TRACE
    assert said_id(None, f"01-{TRACE}-b7ad6b7169203331-01-more") == TRACE
    assert said_id(None, None) is None


def test_new_ids_are_different_in_every_process() -> None:
    """Also where the programs of both were the same up to the fork."""
    one, other = NewIds(), NewIds()
    made = [make() for make in (one, other) for _ in range(100)]
    assert len(set(made)) == 200
    assert {len(found) for found in made} == {32}
    assert all(set(found) <= set(string.hexdigits.lower()) for found in made)


@pytest.mark.parametrize("text", ["", "-a", "a b", "a\r\nSet-Cookie: b", "a" * 129, 'a"b', "a\x00", "ä", "$(reboot)"])
def test_id_that_is_not_sane_is_not_taken(text: str) -> None:
    assert said_id(text, None) is None


@pytest.mark.parametrize(
    "text", ["", TRACE, f"ff-{TRACE}-b7ad6b7169203331-01", PARENT.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"]
)
def test_trace_that_is_none_is_not_taken(text: str) -> None:
    assert said_id(None, text) is None


@given(st.text(), st.text())
def test_whatever_comes_the_id_can_stand_in_a_header(given_id: str, parent: str) -> None:
    found = said_id(given_id, parent) or NewIds()()
    assert found.isascii()
    assert found.isprintable()
    assert 1 <= len(found) <= 128
    assert not set(found) & set(" \"'\\$;|&<>()")


def test_records_of_a_log_have_the_id() -> None:
    """``-`` where there is none; a field that the application has given stays."""

    def record_of(**fields: str) -> logging.LogRecord:
        record = logging.makeLogRecord(fields)
        assert http.RequestIdFilter().filter(record)
        return record

    def in_a_request() -> None:
        REQUEST_ID.set("a1")
        assert http.request_id() == "a1"
        assert record_of().__dict__["request_id"] == "a1"
        assert record_of(request_id="own").__dict__["request_id"] == "own"

    copy_context().run(in_a_request)
    assert Context().run(http.request_id) is None
    assert Context().run(record_of).__dict__["request_id"] == "-"
