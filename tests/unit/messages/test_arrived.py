"""Messages that wait: in order, bounded, and said once."""

from __future__ import annotations

import logging
import os

import pytest

from nodecluster_compat.messages.arrived import MOST_BYTES, MOST_MESSAGES, ArrivedMessages
from nodecluster_compat.messages.frames import Frame, FrameKind


def message(payload: bytes) -> Frame:
    return Frame(FrameKind.MESSAGE, payload)


def test_queue_keeps_messages_in_order_up_to_its_bounds(caplog: pytest.LogCaptureFixture) -> None:
    """By number and by bytes; what is dropped is logged once."""
    queue = ArrivedMessages("a test", logging.getLogger("test"))
    for number in range(MOST_MESSAGES + 5):
        queue.keep(message(b"%d" % number))
    assert len(queue.frames) == MOST_MESSAGES
    assert caplog.text.count("further ones are dropped") == 1
    assert [queue.take(), queue.take()] == [message(b"0"), message(b"1")]


def test_queue_keeps_one_large_message_and_counts_bytes() -> None:
    """The first is kept whatever its size; after that the bytes count."""
    queue = ArrivedMessages("a test", logging.getLogger("test"))
    queue.keep(message(bytes(MOST_BYTES + 1)))
    queue.keep(message(b"x"))
    assert len(queue.frames) == 1
    assert queue.bytes_waiting == MOST_BYTES + 1
    queue.take()
    assert queue.take() is None
    assert queue.bytes_waiting == 0


def test_queue_at_its_bound_drops_the_newest_and_takes_again_after_a_take(caplog: pytest.LogCaptureFixture) -> None:
    """What was kept stays in order, and a second episode is logged again."""
    queue = ArrivedMessages("a test", logging.getLogger("test"))
    for _ in range(MOST_MESSAGES + 1):
        queue.keep(message(b"old"))
    queue.take()
    queue.keep(message(b"new"))
    queue.keep(message(b"dropped"))
    assert caplog.text.count("further ones are dropped") == 2
    taken = [queue.take() for _ in range(MOST_MESSAGES)]
    assert taken[-1] == message(b"new")
    assert queue.take() is None


def test_queue_takes_more_than_its_bound_when_somebody_listens() -> None:
    """``add`` is for messages with a listener: whoever reads the channel sees to the bound."""
    queue = ArrivedMessages("a test", logging.getLogger("test"))
    for _ in range(MOST_MESSAGES + 5):
        queue.add(message(b"x"))
    assert len(queue.frames) == queue.bytes_waiting == MOST_MESSAGES + 5


def test_queue_that_is_cleared_closes_descriptors() -> None:
    """A forked child has copies of them."""
    waiting = ArrivedMessages("the primary", logging.getLogger())
    reading, writing = os.pipe()
    waiting.add(Frame(FrameKind.HANDLE, b"x", writing))
    waiting.clear()
    assert len(waiting.frames) == 0
    assert os.read(reading, 1) == b""
    os.close(reading)
