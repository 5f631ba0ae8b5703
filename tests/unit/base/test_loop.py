"""The primary's loop, one turn at a time."""

from __future__ import annotations

import gc
import logging
import os
import select
import signal
import threading
import weakref
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.base.loop import Loop
from nodecluster_compat.base.timers import Timer


@pytest.fixture
def loop() -> Iterator[Loop]:
    made = Loop(logging.getLogger("test"))
    yield made
    made.close()


def test_deferred_calls_run_on_the_next_turn_in_order(loop: Loop) -> None:
    """What a deferred call defers waits for the turn after."""
    seen: list[int] = []
    loop.call_soon(lambda: (seen.append(1), loop.call_soon(seen.append, 3)))
    loop.call_soon(seen.append, 2)
    assert seen == []
    loop.run_once(0)
    assert seen == [1, 2]
    loop.run_once(0)
    assert seen == [1, 2, 3]


def test_timers_come_in_order_and_a_cancelled_one_never(loop: Loop) -> None:
    """Earlier first; a cancelled timer does not even bound the wait."""
    seen: list[str] = []
    loop.call_later(0.002, seen.append, "later")
    loop.call_later(0, seen.append, "now")
    loop.call_later(0, seen.append, "never").cancel()
    while "later" not in seen:
        loop.run_once(1)
    assert seen == ["now", "later"]


class Thing:
    """What a callback holds."""

    def call(self) -> None: ...


def test_cancelled_timer_keeps_nothing(loop: Loop) -> None:
    """Neither what it would have called, nor its own place for long: its time may be far away."""
    thing = Thing()
    gone = weakref.ref(thing)
    loop.call_later(1000, thing.call).cancel()
    del thing
    gc.collect()
    assert gone() is None
    kept = loop.call_later(1000, print)
    for _ in range(10_000):
        loop.call_later(1000, print).cancel()
    assert len(loop._timers) < 200
    assert any(timer is kept for _, _, timer in loop._timers)


def test_timers_of_an_origin_can_be_taken_and_given_back(loop: Loop) -> None:
    """What a configuration file set goes when it is read again, and comes back when that was in vain."""
    seen: list[str] = []
    loop.start(Timer(seen.append, ("conf",), "conf"), 0)
    exec(
        "loop.call_later(0, seen.append, 'mine')", {"__name__": "conf", "loop": loop, "seen": seen}
    )  # the server's own
    taken = loop.take_timers("conf")
    loop.run_once(0)
    loop.run_once(0)
    assert seen == ["mine"]
    loop.give_back_timers(taken)
    loop.run_once(0)
    assert seen == ["mine", "conf"]


def test_readable_descriptor_calls_back_until_removed(loop: Loop) -> None:
    """Level-triggered: what is left brings another call."""
    reading, writing = os.pipe()
    seen: list[bytes] = []
    loop.add_reader(reading, lambda: seen.append(os.read(reading, 1)))
    os.write(writing, b"abc")
    loop.run_once(0)
    loop.run_once(0)
    loop.remove_reader(reading)
    loop.remove_reader(reading)
    loop.run_once(0)
    assert seen == [b"a", b"b"]
    os.close(reading)
    os.close(writing)


def test_writable_and_readable_are_separate(loop: Loop) -> None:
    """Removing one leaves the other."""
    import socket

    one, two = socket.socketpair()
    seen: list[str] = []
    loop.add_reader(one.fileno(), lambda: seen.append("r"))
    loop.add_writer(one.fileno(), lambda: seen.append("w"))
    loop.run_once(0)
    assert seen == ["w"]
    two.send(b"x")
    loop.run_once(0)
    assert seen == ["w", "r", "w"]
    loop.remove_writer(one.fileno())
    loop.run_once(0)
    assert seen[3:] == ["r"]
    loop.remove_reader(one.fileno())
    one.close()
    two.close()


def test_callbacks_that_raise_are_logged_and_the_loop_goes_on(loop: Loop, caplog: pytest.LogCaptureFixture) -> None:
    """Timers, deferred calls and readers alike."""
    seen: list[str] = []
    reading, writing = os.pipe()
    os.write(writing, b"x")
    loop.add_reader(reading, lambda: 1 / 0)
    loop.call_soon(lambda: 1 / 0)
    loop.call_later(0, lambda: 1 / 0)
    loop.run_once(0)
    loop.remove_reader(reading)
    loop.call_soon(seen.append, "alive")
    loop.run_once(0)
    assert seen == ["alive"]
    assert caplog.text.count("ZeroDivisionError") >= 3
    os.close(reading)
    os.close(writing)


def test_other_thread_wakes_the_loop(loop: Loop) -> None:
    """A call from a thread ends the wait; the time-out is never reached."""
    seen: list[str] = []
    thread = threading.Thread(target=loop.call_soon_threadsafe, args=(seen.append, "woken"))
    thread.start()
    while not seen:
        loop.run_once(60)
    thread.join()
    assert seen == ["woken"]


def test_many_wakes_do_not_block(loop: Loop) -> None:
    """The wake-up descriptor may be full: one byte is as good as many."""
    for _ in range(100_000):
        loop.wake()
    seen: list[str] = []
    loop.call_soon(seen.append, "woken")
    loop.run_once(60)
    loop.run_once(0)
    assert seen == ["woken"]


WHILE_IT_WAITS: dict[str, Callable[[Loop, list[str]], object]] = {
    "a deferred call": lambda loop, seen: loop.call_soon(seen.append, "asked"),
    "the end of a turn": lambda loop, seen: loop.at_turn_end(lambda: seen.append("asked")),
    "a timer": lambda loop, seen: loop.call_later(0, seen.append, "asked"),
    "another thread": lambda loop, seen: loop.call_soon_threadsafe(seen.append, "asked"),
}


@pytest.mark.parametrize("what", WHILE_IT_WAITS)
def test_whatever_is_asked_while_it_waits_in_another_loop_ends_the_wait(loop: Loop, what: str) -> None:
    """A greenlet of a hub in which the loop waits asks: the hub finds the descriptor readable."""
    seen: list[str] = []
    ended: list[bool] = []

    def wait_in(fd: int, _: float) -> None:
        if not ended:
            WHILE_IT_WAITS[what](loop, seen)
        ended.append(bool(select.select([fd], [], [], 0)[0]))

    loop.wait_in = wait_in
    while not seen:
        loop.run_once(60)
    assert ended[0]


@pytest.mark.parametrize("what", WHILE_IT_WAITS)
def test_whatever_a_signal_handler_asks_for_ends_the_wait(loop: Loop, what: str) -> None:
    """The handler runs amid the wait, which goes on by itself after a signal."""
    seen: list[str] = []
    former = signal.signal(signal.SIGALRM, lambda *_: WHILE_IT_WAITS[what](loop, seen))
    try:
        signal.setitimer(signal.ITIMER_REAL, 0.01)
        loop.run_once(60)
        while not seen:
            loop.run_once(0)
    finally:
        signal.signal(signal.SIGALRM, former)


def test_a_cancelled_timer_at_the_top_hides_none_that_is_set_meanwhile(loop: Loop) -> None:
    """A signal handler sets an earlier timer at any moment, also while the loop throws a cancelled one away."""
    seen: list[str] = []
    for _ in range(50):
        loop.call_later(30, seen.append, "never").cancel()
        loop.call_later(0, seen.append, "now")
        loop.run_once(0)
    assert seen == ["now"] * 50


def test_a_timer_that_is_let_go_of_is_no_work(loop: Loop) -> None:
    """Node's ``unref``; a timer that was cancelled or started again is counted once or not at all."""
    timer = loop.start(Timer(print, (), None, 30, holds=True), 30)
    assert loop.has_work
    timer.unref()
    assert not loop.has_work
    timer.ref()
    timer.refresh()
    assert loop.has_work
    timer.cancel()
    assert not loop.has_work


def test_a_timer_fires_when_it_was_started_last(loop: Loop) -> None:
    """``refresh`` puts it off; once it has fired it can be begun again."""
    seen: list[str] = []
    timer = loop.start(Timer(seen.append, ("late",), None, 0.05), 0)
    timer.refresh()
    loop.call_later(0.01, seen.append, "early")
    while len(seen) < 2:
        loop.run_once(1)
    timer.refresh()
    while len(seen) < 3:
        loop.run_once(1)
    assert seen == ["early", "late", "late"]
