"""Expectations, messages and the journal they look at, without a server: a pipe is all that they need."""

from __future__ import annotations

import json
import os
import time
from collections.abc import Callable, Iterator
from typing import Any

import pytest

from pytest_cluster import ClusterError, Expectation, Journal, Messages, WaitTimeout
from pytest_cluster.journal.entries import Wanted
from pytest_cluster.waiting import end_waits_at


@pytest.fixture
def pipe() -> Iterator[tuple[Journal, Callable[..., None]]]:
    """A journal, and a way to write to it as a primary does."""
    reading, writing = os.pipe()
    journal = Journal(reading)

    def write(event: str, worker: int, **more: Any) -> None:
        record = {"time": 1.0, "event": event, "worker": worker, "pid": 100 + worker, "state": "listening", **more}
        os.write(writing, json.dumps(record).encode() + b"\n")

    yield journal, write
    os.close(writing)
    journal.join(5)


Pipe = tuple[Journal, Callable[..., None]]


def test_event_in_the_block_is_seen(pipe: Pipe) -> None:
    """And what was before the block is not."""
    journal, write = pipe
    write("exit", 1, code=0, signal=None)
    journal.wait_for("exit")
    with Expectation(journal, Wanted("exit")) as event:
        with pytest.raises(ClusterError, match="no event exit yet: read it after the with block"):
            _ = event.value
        write("exit", 2, code=None, signal="SIGKILL")
    assert (event.worker, event.pid, event.code, event.signal) == (2, 102, None, "SIGKILL")
    assert [entry.worker for entry in event.entries] == [2]


def test_an_expectation_says_what_it_waits_for(pipe: Pipe) -> None:
    journal, write = pipe
    write("fork", 1)
    journal.wait_for("fork")
    fork, two = Expectation(journal, Wanted("fork")), Expectation(journal, Wanted("exit", 1), exactly=2)
    none = Expectation(journal, Wanted("exit"), none=True)
    with fork:
        write("fork", 2)
    assert repr(fork) == "<expectation of 1 x event fork (since entry #1): 1 so far>"
    assert repr(two) == "<expectation of exactly 2 x event exit of worker 1 (since entry #1): none so far>"
    assert repr(none) == "<expectation of no event exit (since entry #1): none so far>"


def test_event_that_does_not_come(pipe: Pipe) -> None:
    journal, write = pipe
    sentence = r"expected 2 x event exit of worker 1 \(since entry #0\) within 0.1 s, which did not happen: 1 came"
    with (
        pytest.raises(WaitTimeout, match=sentence) as caught,
        Expectation(journal, Wanted("exit", 1), count=2, timeout=0.1),
    ):
        write("exit", 1)
    assert "exit worker=1 pid=101" in str(caught.value)


def test_error_in_the_block_is_what_is_seen(pipe: Pipe) -> None:
    """Nobody waits for an event whose cause has failed."""
    journal, _ = pipe
    with pytest.raises(ZeroDivisionError), Expectation(journal, Wanted("exit"), timeout=60):
        _ = 1 // 0


def test_exactly(pipe: Pipe) -> None:
    journal, write = pipe
    with Expectation(journal, Wanted("fork"), exactly=2):
        write("fork", 1)
        write("fork", 2)
    sentence = r"expected exactly 1 x event fork \(since entry #2\), and 2 came"
    with pytest.raises(WaitTimeout, match=sentence), Expectation(journal, Wanted("fork"), exactly=1):
        [write("fork", worker) for worker in (3, 4)]


def test_none(pipe: Pipe) -> None:
    journal, write = pipe
    with Expectation(journal, Wanted("exit"), none=True, timeout=0.05):
        write("fork", 1)
    with (
        pytest.raises(WaitTimeout, match="expected no event exit") as caught,
        Expectation(journal, Wanted("exit"), none=True),
    ):
        write("exit", 1)
    assert "what happened instead" in str(caught.value)
    with pytest.raises(ValueError, match="either exactly= or none=True"):
        Expectation(journal, Wanted("exit"), none=True, exactly=1)


@pytest.mark.parametrize(
    ("wish", "sentence"),
    [
        ({"count": 0}, "expected count= to be 1 or more, got 0: none=True says that it must not happen"),
        ({"exactly": -1}, "expected exactly= to be 0 or more, got -1"),
        ({"timeout": -1}, "expected timeout= to be a number of seconds, 0 or more, got -1"),
        ({"timeout": "5"}, "expected timeout= to be a number of seconds, 0 or more, got '5'"),
    ],
)
def test_numbers_that_say_nothing_are_refused(pipe: Pipe, wish: dict[str, int], sentence: str) -> None:
    with pytest.raises(ValueError, match=sentence):
        Expectation(pipe[0], Wanted("exit"), **wish)  # type: ignore[arg-type]


@pytest.fixture
def test_ends_soon() -> Iterator[None]:
    """Pytest-timeout will end the test in a tenth of a second."""
    former = end_waits_at(time.monotonic() + 0.1)
    yield
    end_waits_at(former)


@pytest.mark.usefixtures("test_ends_soon")
@pytest.mark.parametrize("none", [False, True])
def test_wait_that_is_cut_says_so(pipe: Pipe, none: bool) -> None:
    """Also that for nothing: who did not watch to the end cannot say that nothing came."""
    sentence = (
        r"within 60 s, which did not happen: the wait ended after 0\.\d s, because pytest-timeout would have ended"
    )
    with pytest.raises(WaitTimeout, match=sentence), Expectation(pipe[0], Wanted("exit"), none=none, timeout=60):
        pass


def test_wait_that_the_server_ends_says_so() -> None:
    reading, writing = os.pipe()
    os.close(writing)
    with pytest.raises(
        WaitTimeout, match=r"within 60 s, .*: the wait ended after 0\.\d s, because the server had ended"
    ):
        Journal(reading).wait_for("exit", timeout=60)


def test_predicate_and_unknown_event(pipe: Pipe) -> None:
    journal, write = pipe
    with Expectation(journal, Wanted("exit", predicate=lambda entry: entry.code == 3)) as event:
        write("exit", 1, code=0)
        write("exit", 2, code=3)
    assert event.worker == 2
    with pytest.raises(ValueError, match="unknown event 'died': the events are fork, online"):
        Wanted("died")


@pytest.mark.parametrize(
    ("match", "count"),
    [
        (None, 3),
        ({"kind": "a"}, 1),
        ({"kind": "a", "n": 2}, 0),
        ("text", 1),
        (lambda message: isinstance(message, dict), 2),
    ],
)
def test_messages_by_their_content(pipe: Pipe, match: Any, count: int) -> None:
    journal, write = pipe
    messages = Messages(journal)
    write("message", 1, sent=False, message={"kind": "a", "n": 1})
    write("message", 2, sent=True, message={"kind": "b"})
    write("message", 2, sent=False, message="text")
    journal.wait_until(lambda entries: len(entries) == 3, expected="three messages")
    expectation = messages.expect(match)
    expectation._start = 0
    assert len(expectation.entries) == count
    assert [entry.worker for entry in messages.received] == [1, 2]
    assert [entry.message for entry in messages.sent] == [{"kind": "b"}]


def test_message_that_does_not_come_is_described(pipe: Pipe) -> None:
    journal, write = pipe
    sentence = r"expected 1 x message of worker 2 to the primary like \{'kind': 'a'\} \(since entry #0\)"
    with (
        pytest.raises(WaitTimeout, match=sentence),
        Messages(journal).expect({"kind": "a"}, worker=2, sent=False, timeout=0.05),
    ):
        write("message", 2, sent=True, message={"kind": "a"})


def test_fault_is_between_the_events_and_injected(pipe: Pipe) -> None:
    journal, write = pipe
    write("fork", 1)
    journal.wait_for("fork")
    journal.note_fault(1, 101, "SIGKILL to worker 1")
    write("exit", 1, signal="SIGKILL")
    journal.wait_for("exit")
    assert [(entry.event, entry.injected) for entry in journal.entries] == [
        ("fork", False),
        ("fault", True),
        ("exit", False),
    ]
    assert "INJECTED SIGKILL to worker 1" in str(journal.entries[1])
