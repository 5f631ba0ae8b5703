"""The runtime of a worker of threads: what runs where, in which order, and under which lock."""

from __future__ import annotations

import errno
import os
import sys
import threading
import time
from collections.abc import Callable, Iterator

import pytest

from nodecluster_compat.base.timers import Timer
from nodecluster_compat.errors import WouldBlock
from nodecluster_compat.thread_runtime.poller import Poller
from nodecluster_compat.thread_runtime.reactor import ThreadReactor

PATIENCE = 20.0


class Rig:
    """A reactor whose main thread is the test's."""

    def __init__(self) -> None:
        self.poller = Poller()
        self.exits: list[BaseException] = []
        self.reactor = ThreadReactor(self.poller, self.exits.append)
        self.read_fd, self.write_fd = os.pipe()

    def turn_until(self, check: Callable[[], object]) -> None:
        limit = time.monotonic() + PATIENCE
        while not check():
            assert time.monotonic() < limit
            self.reactor.turn(0.05)

    def close(self) -> None:
        self.reactor.let_go()
        self.poller.close()
        os.close(self.read_fd)
        os.close(self.write_fd)


@pytest.fixture
def rig() -> Iterator[Rig]:
    made = Rig()
    yield made
    made.close()


def is_held(lock: threading.RLock) -> bool:  # type: ignore[valid-type]
    """Whether another thread could not have it now."""
    found: list[bool] = []

    def look() -> None:
        found.append(not lock.acquire(blocking=False))  # type: ignore[attr-defined]
        if not found[0]:
            lock.release()  # type: ignore[attr-defined]

    thread = threading.Thread(target=look)
    thread.start()
    thread.join()
    return found[0]


def test_channels_are_read_and_written_with_the_lock_held(rig: Rig) -> None:
    """In the main thread; one descriptor for both ways, each way by itself."""
    seen: list[object] = []
    rig.reactor.add_reader(rig.read_fd, lambda: seen.append((os.read(rig.read_fd, 1), is_held(rig.reactor.lock))))
    rig.reactor.turn(0)
    assert seen == []
    os.write(rig.write_fd, b"a")
    rig.turn_until(lambda: seen)
    assert seen == [(b"a", True)]
    rig.reactor.add_writer(rig.write_fd, lambda: seen.append("writable"))
    rig.turn_until(lambda: len(seen) > 1)
    rig.reactor.remove_writer(rig.write_fd)
    rig.reactor.remove_reader(rig.read_fd)
    os.write(rig.write_fd, b"b")
    rig.reactor.turn(0)
    assert set(seen[1:]) == {"writable"}


def test_another_thread_wakes_the_one_that_turns(rig: Rig) -> None:
    """For what is to be written at the end of a turn, and for an earlier timer."""
    seen: list[str] = []
    rig.reactor.call_later(300, lambda: seen.append("late"))

    def other() -> None:
        rig.reactor.at_turn_end(lambda: seen.append("turn end" if is_held(rig.reactor.lock) else "unlocked"))
        rig.reactor.call_later(0, lambda: seen.append("timer"))

    thread = threading.Thread(target=other)
    thread.start()
    limit = time.monotonic() + PATIENCE
    while len(seen) < 2 and time.monotonic() < limit:
        rig.reactor.turn(PATIENCE)
    thread.join()
    assert sorted(seen) == ["timer", "turn end"]


def test_users_code_runs_beside_the_main_thread_in_order(rig: Rig) -> None:
    """Deferred calls and timers on one thread, messages on another, spawned calls each on its own."""
    seen: list[tuple[object, str]] = []

    def note(what: object) -> None:
        seen.append((what, threading.current_thread().name.rpartition("-")[0]))

    for number in range(50):
        rig.reactor.call_soon(note, number)
    rig.turn_until(lambda: len(seen) == 50)
    assert seen == [(number, "nodecluster-calls") for number in range(50)]
    seen.clear()
    frames = [3, 2, 1]
    rig.reactor.deliver(lambda: frames.pop() if frames else None, note)  # type: ignore[arg-type, return-value]
    rig.turn_until(lambda: len(seen) == 3)
    assert seen == [(1, "nodecluster-messages"), (2, "nodecluster-messages"), (3, "nodecluster-messages")]
    seen.clear()
    timers = [Timer(note, (number,), None) for number in range(3)]
    for number, timer in enumerate(timers):
        rig.reactor.start(timer, 0.03 - number / 100)
    timers[1].cancel()
    rig.turn_until(lambda: len(seen) == 2)
    assert seen == [(2, "nodecluster-calls"), (0, "nodecluster-calls")]


def test_spawned_calls_wait_for_nobody_and_are_followed_however_they_end(rig: Rig) -> None:
    """``then`` comes behind a call that raises, too; what exits is told to the worker."""
    gate, then = threading.Event(), threading.Semaphore(0)
    rig.reactor.spawn(lambda: gate.wait(PATIENCE) and None, then.release)
    rig.reactor.spawn(gate.set, then.release)
    rig.reactor.spawn(lambda: sys.exit(3), then.release)
    for _ in range(3):
        assert then.acquire(timeout=PATIENCE)
    rig.turn_until(lambda: rig.exits)
    assert isinstance(rig.exits[0], SystemExit)


def test_who_waits_is_held_up_and_the_main_thread_turns_meanwhile(rig: Rig) -> None:
    """As while the application is loaded; within a turn it must not wait."""
    rig.reactor.wait(lambda done: rig.reactor.call_later(0.01, done))
    refused: list[Exception] = []

    def within() -> None:
        try:
            rig.reactor.wait(lambda done: done())
        except WouldBlock as error:
            refused.append(error)

    rig.reactor.call_later(0, within)
    rig.turn_until(lambda: refused)
    assert "give it a callback" in str(refused[0])
    thread = threading.Thread(target=rig.reactor.wait, args=(lambda done: rig.reactor.call_later(0, done),))
    thread.start()
    rig.turn_until(lambda: not thread.is_alive())
    thread.join()


def test_what_would_end_a_thread_keeps_no_message_back(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told as Python tells it of a thread, and the next message has its turn."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))
    frames, seen = iter("ab"), []

    def tell(frame: str) -> None:
        if frame == "a":
            raise KeyboardInterrupt
        seen.append(frame)

    rig.reactor.deliver(lambda: next(frames, None), tell)  # type: ignore[arg-type, return-value]
    rig.turn_until(lambda: seen)
    assert told == [KeyboardInterrupt]
    assert not rig.exits


@pytest.mark.parametrize("way", ["reader", "timer", "turn's end"])
def test_what_a_callback_raises_is_said_and_ends_nothing(rig: Rig, monkeypatch: pytest.MonkeyPatch, way: str) -> None:
    """As on gevent and asyncio, whose loops go on."""
    told: list[object] = []
    monkeypatch.setattr(threading, "excepthook", lambda args: told.append(args.exc_type))

    def fail() -> None:
        if way == "reader":
            os.read(rig.read_fd, 1)
        raise OSError(errno.EMFILE, "a connection was lost")

    if way == "reader":
        rig.reactor.add_reader(rig.read_fd, fail)
        os.write(rig.write_fd, b"xx")
    else:
        for _ in range(2):
            rig.reactor.call_later(0, fail) if way == "timer" else rig.reactor.at_turn_end(fail)
    rig.turn_until(lambda: len(told) == 2)
    assert told == [OSError, OSError]


def test_a_worker_without_memory_ends(rig: Rig) -> None:
    """It has given its channel up, and could serve nobody."""

    def fail() -> None:
        raise MemoryError

    rig.reactor.at_turn_end(fail)
    with pytest.raises(MemoryError):
        rig.reactor.turn(0)


def test_calls_wait_until_the_system_gives_a_thread(rig: Rig, monkeypatch: pytest.MonkeyPatch) -> None:
    """As where it has too many processes for a moment; it is said, and nothing ends by it."""

    def refuse(thread: threading.Thread) -> None:
        raise RuntimeError("can't start new thread")

    monkeypatch.setattr("nodecluster_compat.thread_runtime.reactor._AGAIN_SECONDS", 0.0)
    done: list[int] = []
    said: list[str] = []
    monkeypatch.setattr(threading, "excepthook", lambda told: said.append(str(told.exc_value)))
    with monkeypatch.context() as scarce:
        scarce.setattr(threading.Thread, "start", refuse)
        rig.reactor.call_soon(done.append, 1)
        rig.reactor.call_soon(done.append, 2)
        rig.reactor.turn(0)
    assert done == []
    assert set(said) == {"can't start new thread"}
    rig.turn_until(lambda: done == [1, 2])
