"""What nobody caught, judged on a real hub, with a process that only writes down."""

from __future__ import annotations

import sys
import threading
from collections.abc import Callable, Iterator
from typing import Any

import gevent
import pytest
from gevent.pool import Group, Pool

from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.handler_calls import set_uncaught
from nodecluster_compat.gevent_runtime.uncaught import Uncaught


def boom(*_: object) -> None:
    raise RuntimeError("boom")


class Rig:
    """What nobody caught in this process, and what that asked for."""

    def __init__(self) -> None:
        self.process = Emitter()
        self.ends: list[tuple[int, bool]] = []
        self.exits: list[object] = []
        self.uncaught = Uncaught(self.process, lambda *end: self.ends.append(end), lambda e: self.exits.append(e.code))

    def settle(self) -> None:
        for _ in range(6):
            gevent.sleep(0)


@pytest.fixture
def rig(capfd: pytest.CaptureFixture[str]) -> Iterator[Rig]:
    hook, hub = threading.excepthook, gevent.get_hub()
    made = Rig()
    made.uncaught.watch()
    yield made
    threading.excepthook = hook
    del hub.handle_error
    set_uncaught(None)


def join(greenlet: Any) -> None:
    greenlet.join()


def get(greenlet: Any) -> None:
    with pytest.raises(RuntimeError):
        greenlet.get()


def map_both(_: object) -> None:
    with pytest.raises(RuntimeError):
        Pool(2).map(boom, [1, 2])


def on_the_hub(_: object) -> None:
    gevent.get_hub().loop.run_callback(boom)


def in_a_thread_pool(_: object) -> None:
    pool = gevent.get_hub().threadpool
    with pytest.raises(RuntimeError):
        pool.apply(boom)
    pool.kill()  # its threads, and what they have open


CAUGHT: dict[str, Callable[[Any], None]] = {
    "get": lambda _: get(gevent.spawn(boom)),
    "join": lambda _: join(gevent.spawn(boom)),
    "joinall": lambda _: gevent.joinall([gevent.spawn(boom), gevent.spawn(boom)]),
    "a pool that is joined": lambda pool: (pool.spawn(boom), pool.join()),  # type: ignore[dict-item]
    "a map": map_both,
    "a thread pool": in_a_thread_pool,
    "killed": lambda _: gevent.kill(gevent.spawn(gevent.sleep, 9)),
}
UNCAUGHT: dict[str, Callable[[Any], object]] = {
    "a greenlet": lambda _: gevent.spawn(boom),
    "one that waits": lambda _: gevent.spawn_later(0, boom),
    "one of a group": lambda pool: pool.spawn(boom),
    "a raw one": lambda _: gevent.spawn_raw(boom),
    "a callback of the hub": on_the_hub,
    "a handler of another's end": lambda _: gevent.spawn(int).link(boom),
}


@pytest.mark.parametrize("how", CAUGHT)
def test_what_somebody_waits_for_is_caught(rig: Rig, how: str) -> None:
    """It has the exception, or does not want it."""
    CAUGHT[how](Pool(3))
    rig.settle()
    assert rig.ends == []


@pytest.mark.parametrize("how", UNCAUGHT)
def test_what_nobody_waits_for_ends_the_process(rig: Rig, how: str, capfd: pytest.CaptureFixture[str]) -> None:
    """With 1, and its traceback."""
    held = UNCAUGHT[how](Group())
    while not rig.ends:
        gevent.sleep(0)
    rig.settle()
    assert rig.ends == [(1, True)]
    assert "RuntimeError: boom" in capfd.readouterr().err
    del held


def test_thread_that_raises_ends_the_process(rig: Rig) -> None:
    """One of another kernel thread is judged on the hub; one that exits ends alone."""
    thread = threading.Thread(target=boom)
    thread.start()
    thread.join()
    leaver = threading.Thread(target=sys.exit, args=(3,))
    leaver.start()
    leaver.join()
    while not rig.ends:
        gevent.sleep(0)
    assert rig.ends == [(1, True)]


def test_listeners_hear_of_it_first_and_may_let_it_go_on(rig: Rig) -> None:
    """The monitor hears of everything and decides nothing."""
    heard: list[tuple[str, str, str]] = []
    for event in ("uncaughtExceptionMonitor", "uncaughtException"):
        rig.process.on(event, lambda error, origin, event=event: heard.append((event, str(error), origin)))
    gevent.spawn(boom)
    rig.settle()
    assert heard == [
        ("uncaughtExceptionMonitor", "boom", "uncaughtException"),
        ("uncaughtException", "boom", "uncaughtException"),
    ]
    assert rig.ends == []


def test_listener_that_raises_ends_the_process_with_7(rig: Rig) -> None:
    """And without ``exit``, as in Node."""
    rig.process.on("uncaughtException", lambda *_: boom())
    gevent.spawn(boom)
    rig.settle()
    assert rig.ends == [(7, False)]


def test_sys_exit_anywhere_is_an_exit(rig: Rig) -> None:
    """In a greenlet, in the hub, in a listener."""
    rig.process.on("uncaughtException", lambda *_: sys.exit(9))
    gevent.spawn(sys.exit, 3)
    gevent.get_hub().loop.run_callback(sys.exit, 4)
    gevent.spawn(boom)
    rig.settle()
    assert sorted(map(int, rig.exits)) == [3, 4, 9]  # type: ignore[call-overload]
    assert rig.ends == []
