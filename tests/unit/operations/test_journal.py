"""What the journal tells of a message."""

from __future__ import annotations

import json
import logging
import os
import threading
from types import SimpleNamespace
from typing import Any

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.operations.journal import Journal, _told


@pytest.mark.parametrize("message", [None, 5, "text", {"a": [1, {"b": None}]}, list(range(1000))])
def test_ordinary_message_is_told_as_it_is(message: Any) -> None:
    assert _told(message) == {"message": message}


def test_large_message_is_told_by_its_beginning() -> None:
    assert _told("x" * 1_000_000) == {"text": '"' + "x" * (16 * 1024 - 1)}
    assert len(_told(list(range(1_000_000)))["text"]) < 200
    assert _told({1, 2})["text"] == "{1, 2}"


def test_message_without_an_end_is_told_in_short() -> None:
    """A list that contains one list twice, sixty levels deep; one that contains itself."""
    tower: list[Any] = []
    for _ in range(60):
        tower = [tower, tower]
    loop: list[Any] = []
    loop.append(loop)
    for message in (tower, loop):
        assert len(_told(message)["text"]) < 2000


@pytest.mark.usefixtures("no_leaks")
def test_last_entries_are_written_before_the_primary_ends() -> None:
    """A reader that is behind gets them all; one that does not read holds nobody up for longer than the limit."""
    worker: Any = SimpleNamespace(id=1, process=SimpleNamespace(pid=7), state="dead", exited_after_disconnect=True)
    loop = Loop(logging.getLogger("test"))
    reading, writing = os.pipe()
    journal = Journal(writing, loop)
    for _ in range(1000):
        journal.record("exit", worker, (0, None))
    journal.finish(0.0)
    assert journal._waiting, "the pipe has taken everything: too little was written"
    taken = bytearray()

    def read() -> None:
        while piece := os.read(reading, 65536):
            taken.extend(piece)

    reader = threading.Thread(target=read)
    reader.start()
    journal.finish(20.0)
    journal.close()
    reader.join(20)
    assert [json.loads(line)["seq"] for line in taken.splitlines()] == list(range(1, 1001))
    os.close(reading)
    loop.close()
