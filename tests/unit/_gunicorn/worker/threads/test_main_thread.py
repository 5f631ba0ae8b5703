"""The main thread of a thread worker, reached between two turns, or where it loads the application."""

from __future__ import annotations

import signal
from collections.abc import Callable
from threading import Thread
from typing import Any

import pytest

from nodecluster_compat._gunicorn.worker.threads.main_thread import MainThread
from nodecluster_compat.machine.real_time_signals import LAST_WORDS_SIGNAL


class Poller:
    """Keeps what is deferred until a turn."""

    def __init__(self) -> None:
        self.deferred: list[Callable[[], None]] = []
        self.wakes = 0

    def defer(self, call: Callable[[], None]) -> None:
        self.deferred.append(call)

    def wake(self) -> None:
        self.wakes += 1


@pytest.fixture
def poller() -> Any:
    return Poller()


@pytest.fixture
def main(poller: Any) -> MainThread:
    return MainThread(poller)


def elsewhere(call: Callable[[], None]) -> None:
    thread = Thread(target=call)
    thread.start()
    thread.join()


def begin_and_pause(thread: Thread) -> None:
    thread.start()
    signal.pause()


def test_what_is_thrown_ends_the_wait_and_is_raised_after_the_turn(main: MainThread, poller: Poller) -> None:
    """The first, and once."""
    main.loaded()
    elsewhere(lambda: main.throw(SystemExit(3)))
    elsewhere(lambda: main.throw(SystemExit(4)))
    assert (main.is_woken, poller.wakes, len(poller.deferred)) == (True, 2, 2)
    with pytest.raises(SystemExit) as raised:
        main.catch_up()
    assert raised.value.code == 3
    main.catch_up()


def test_who_ends_by_itself_takes_back_what_was_thrown(main: MainThread) -> None:
    main.throw(SystemExit(3))
    main.take_back()
    main.catch_up()


def test_only_the_thread_that_made_it_is_it(main: MainThread) -> None:
    seen: list[bool] = []
    elsewhere(lambda: seen.append(main.is_current))
    assert (seen, main.is_current) == ([False], True)


def test_application_that_loads_is_interrupted(main: MainThread, poller: Poller) -> None:
    """Nothing turns there: what others ask for is done in the handler of a signal."""
    seen: list[str] = []
    former = signal.signal(LAST_WORDS_SIGNAL, lambda *_: main.interrupted())
    try:
        elsewhere(lambda: main.call(lambda: seen.append("called")))
        thread = Thread(target=main.throw, args=(SystemExit(3),))
        with pytest.raises(SystemExit):
            begin_and_pause(thread)
        thread.join()
    finally:
        signal.signal(LAST_WORDS_SIGNAL, former)
    assert (seen, poller.deferred) == (["called"], [])


def test_application_that_was_loaded_is_not_interrupted(main: MainThread) -> None:
    main.throw(SystemExit(3))
    main.loaded()
    main.interrupted()
    with pytest.raises(SystemExit):
        main.catch_up()
