"""What a worker leaves for its primary, whatever it writes there."""

from __future__ import annotations

import logging
import os
import struct
from collections.abc import Iterator

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nodecluster_compat.machine.log_tail import LogTail, keep_tail
from nodecluster_compat.machine.notebook import MOST_RESULT_BYTES, Notebook

RING = 32 * 1024


@pytest.fixture
def notebook() -> Iterator[Notebook]:
    made = Notebook()
    yield made
    made.close()


def test_log_is_kept_for_who_reads_it_later(notebook: Notebook) -> None:
    assert notebook.read_log() == (0, "")
    notebook.write_log("one\n")
    written, text = notebook.read_log()
    assert (written, text) == (4, "one\n")
    notebook.write_log("zwei ü\n")
    assert notebook.read_log(written) == (12, "zwei ü\n")
    assert notebook.read_log(99) == (12, "")


@given(st.lists(st.text("abc\n", max_size=RING), max_size=6))
def test_log_has_the_end_of_what_was_written(texts: list[str]) -> None:
    notebook = Notebook()
    for text in texts:
        notebook.write_log(text)
    everything = "".join(texts)
    assert notebook.read_log() == (len(everything), everything[-RING:])
    notebook.close()


def test_order_and_its_result(notebook: Notebook) -> None:
    assert notebook.order() == (0, "")
    number = notebook.give_order("profile 10")
    assert notebook.order() == (number, "profile 10")
    assert notebook.result_of(number) is None
    notebook.answer(number, "a result")
    assert notebook.result_of(number) == "a result"
    assert notebook.result_of(notebook.give_order("another")) is None


def test_result_is_bounded(notebook: Notebook) -> None:
    notebook.answer(notebook.give_order("x"), "y" * (MOST_RESULT_BYTES + 5))
    assert len(notebook.result_of(1) or "") == MOST_RESULT_BYTES


@given(st.binary(max_size=200), st.integers(0, 45_000))
def test_worker_may_write_anything(data: bytes, offset: int) -> None:
    """And may cut the file short; who reads gets something of bounded length."""
    notebook = Notebook()
    notebook.write_log("a line\n" * 100)
    os.pwrite(notebook._fd, data, offset)
    assert len(notebook.read_log()[1]) <= RING
    assert len(notebook.result_of(7) or "") <= MOST_RESULT_BYTES
    os.pwrite(notebook._fd, struct.pack("Q", 2**64 - 1), 0)
    assert len(notebook.read_log()[1]) <= RING
    os.ftruncate(notebook._fd, 0)
    assert (notebook.read_log(), notebook.order(), notebook.result_of(1)) == ((0, ""), (0, ""), None)
    notebook.close()


def test_closed_notebook_is_silent(notebook: Notebook) -> None:
    notebook.close()
    notebook.close()
    notebook.write_log("x")
    notebook.answer(1, "x")
    assert (notebook.is_open, notebook.read_log(), notebook.result_of(1)) == (False, (0, ""), None)


def test_record_is_kept_once_although_two_loggers_have_it(notebook: Notebook) -> None:
    outer, inner = logging.getLogger("test_notebook"), logging.getLogger("test_notebook.inner")
    keep_tail(notebook, [outer, inner])
    keep_tail(notebook, [outer, inner])  # of a worker that is forked by another
    inner.warning("what %s", "happened")
    assert notebook.read_log()[1].count("[WARNING] what happened\n") == 1
    assert [type(one) for one in inner.handlers] == [LogTail]


def test_record_that_cannot_be_formatted_ends_nobody(notebook: Notebook, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(logging, "raiseExceptions", False)
    logger = logging.getLogger("test_notebook.broken")
    keep_tail(notebook, [logger])
    logger.handle(logger.makeRecord("x", logging.WARNING, "x", 1, "%s %s", ("one",), None))
    logger.warning("two")
    assert notebook.read_log()[1].endswith("two\n")
