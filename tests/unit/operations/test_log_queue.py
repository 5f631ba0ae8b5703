"""The queue of log records: order, bounds, and what is counted where it is missing."""

import logging

import pytest

from nodecluster_compat.operations import log_queue
from nodecluster_compat.operations.log_queue import Call, Dropped, LogQueue, Written

ONE, TWO = logging.NullHandler(), logging.NullHandler()


def text(data: bytes, handler: logging.Handler = ONE) -> Written:
    return Written(handler, data, None)


def test_entries_come_in_order() -> None:
    queue = LogQueue()
    first, second, call = text(b"first"), text(b"second"), Call(list)
    assert queue.put(first)
    queue.put_call(call)
    assert queue.put(second)
    assert [queue.take(), queue.take(), queue.take(), queue.take()] == [first, call, second, None]


def test_what_is_dropped_is_counted_where_it_is_missing(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "MOST_RECORDS", 2)
    queue = LogQueue()
    kept = [text(b"1"), text(b"2")]
    assert all(queue.put(one) for one in kept)
    assert not any(queue.put(text(b"lost", handler)) for handler in (ONE, TWO, ONE))
    assert queue.take() is kept[0]
    assert not queue.put(text(b"lost"))  # the count itself takes a place
    assert queue.take() is kept[1]
    later = text(b"later")
    assert queue.put(later)
    missing = queue.take()
    assert isinstance(missing, Dropped)
    assert missing.counts == {ONE: 3, TWO: 1}
    assert queue.take() is later


def test_queue_is_bounded_in_bytes(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(log_queue, "MOST_BYTES", 10)
    queue = LogQueue()
    assert queue.put(text(b"x" * 100))  # one is always taken
    assert not queue.put(text(b"y"))
    queue.take()
    queue.take()
    assert queue.put(text(b"x" * 6))
    assert not queue.put(text(b"y" * 6))


def test_record_costs_more_than_its_message() -> None:
    record = logging.LogRecord("x", logging.INFO, __file__, 1, "m" * 100, None, None)
    assert Written(ONE, None, record).size > 100
