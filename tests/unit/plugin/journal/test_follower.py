"""Whoever follows a journal hears of each entry once, in order, whichever thread adds it."""

from __future__ import annotations

import os
import threading

from pytest_cluster.journal.follower import Follower
from pytest_cluster.journal.journal import Journal


def test_follower_hears_what_was_before_and_what_comes() -> None:
    reading, writing = os.pipe()
    journal = Journal(reading)
    heard: list[int] = []
    journal.note_fault(1, 1, "first")
    journal.follow(lambda entry: heard.append(entry.seq))
    threads = [threading.Thread(target=journal.note_fault, args=(1, 1, "more")) for _ in range(20)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    os.close(writing)
    assert journal.join(5)
    assert heard == list(range(1, 22))


def test_follower_that_adds_an_entry_hears_of_that_as_well() -> None:
    entries: list[int] = [1]
    heard: list[int] = []

    def tell(one: int) -> None:
        heard.append(one)
        if one < 4:
            entries.append(one + 1)
            follower.deliver()

    follower = Follower(lambda told: entries[told:], tell)  # type: ignore[arg-type, return-value]
    follower.deliver()
    assert heard == [1, 2, 3, 4]
