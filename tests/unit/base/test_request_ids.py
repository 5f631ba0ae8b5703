"""Which id a request gets, and who may say so."""

from __future__ import annotations

import logging
import string
from contextvars import copy_context

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat import http
from nodecluster_compat.base.request_ids import request_id
from nodecluster_compat.base.this_request import REQUEST_ID

TRACE = "0af7651916cd43dd8448eb211c80319c"
PARENT = f"00-{TRACE}-b7ad6b7169203331-01"


def is_new(found: str) -> bool:
    return len(found) == 32 and set(found) <= set(string.hexdigits.lower())


def test_trusted_peer_says_the_id_or_the_trace() -> None:
    assert request_id("a1B2-c3", PARENT, is_trusted=True) == "a1B2-c3"
    assert request_id(None, PARENT, is_trusted=True) == TRACE
    assert request_id("not sane", PARENT, is_trusted=True) == TRACE
    assert request_id(None, f"01-{TRACE}-b7ad6b7169203331-01-more", is_trusted=True) == TRACE


def test_nobody_else_does() -> None:
    one, other = (request_id("mine", PARENT, is_trusted=False) for _ in range(2))
    assert is_new(one)
    assert is_new(other)
    assert one != other


@pytest.mark.parametrize("text", ["", "-a", "a b", "a\r\nSet-Cookie: b", "a" * 129, 'a"b', "a\x00", "ä", "$(reboot)"])
def test_id_that_is_not_sane_is_not_taken(text: str) -> None:
    assert is_new(request_id(text, None, is_trusted=True))


@pytest.mark.parametrize(
    "text", ["", TRACE, f"ff-{TRACE}-b7ad6b7169203331-01", PARENT.upper(), f"00-{'0' * 32}-b7ad6b7169203331-01"]
)
def test_trace_that_is_none_is_not_taken(text: str) -> None:
    assert request_id(None, text, is_trusted=True) not in text.lower() or text == ""


@given(st.text(), st.text())
def test_whatever_comes_the_id_can_stand_in_a_header(given_id: str, parent: str) -> None:
    found = request_id(given_id, parent, is_trusted=True)
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
    assert http.request_id() is None
    assert record_of().__dict__["request_id"] == "-"
