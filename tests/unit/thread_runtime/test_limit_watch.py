"""Requests of threads are looked at when they are due, and not before."""

from __future__ import annotations

from collections.abc import Callable

from nodecluster_compat.base.time_limits import Late
from nodecluster_compat.thread_runtime.limit_watch import LimitWatch


class Engine:
    """A clock that a test turns, and what calls back by it."""

    def __init__(self, seconds: float = 0.0) -> None:
        self.now = 100.0
        self.timers: list[tuple[float, Callable[[], None]]] = []
        self.late: list[tuple[str, float]] = []
        self.has_limit = True
        self.watch: LimitWatch[str] = LimitWatch(seconds, self.call_later, self.is_late, lambda: self.now)

    def call_later(self, seconds: float, call: Callable[[], None]) -> None:
        self.timers.append((self.now + seconds, call))

    def is_late(self, late: Late[str]) -> bool:
        if self.has_limit:
            self.late.append((late.key, self.now))
        return self.has_limit

    def turn(self, until: float) -> int:
        """Let the time pass; return how many timers have fired."""
        fired = 0
        while self.timers and (due := min(self.timers, key=lambda one: one[0]))[0] <= until:
            self.timers.remove(due)
            self.now = max(self.now, due[0])
            due[1]()
            fired += 1
        self.now = until
        return fired


def test_request_is_late_when_it_is_due() -> None:
    """To the moment, whoever began meanwhile; ten thousand that end in time have no timer of their own."""
    engine = Engine(10)
    for number in range(10_000):
        engine.watch.begin(str(number))
        engine.watch.end(str(number))
    engine.now = 104.0
    engine.watch.begin("slow")
    assert len(engine.timers) == 1
    assert engine.turn(113.0) == 1
    assert engine.late == []
    assert engine.turn(200.0) > 0
    assert engine.late[:2] == [("slow", 114.0), ("slow", 124.0)]
    engine.watch.end("slow")
    engine.turn(300.0)
    assert engine.timers == []


def test_own_limit_puts_the_look_forward() -> None:
    """What was to look later looks in vain; nobody looks any more when all have ended."""
    engine = Engine(10)
    engine.watch.begin("quick")
    engine.watch.begin("usual")
    assert engine.watch.limit("quick", 0.5)
    assert not engine.watch.limit("unknown", 0.5)
    engine.turn(100.6)
    assert engine.late == [("quick", 100.5)]
    engine.watch.end("quick")
    engine.turn(110.0)
    assert engine.late == [("quick", 100.5), ("usual", 110.0)]
    engine.watch.end("usual")
    engine.turn(200.0)
    assert engine.timers == []


def test_request_that_is_meant_to_last_is_asked_about_once() -> None:
    engine = Engine(10)
    engine.has_limit = False
    engine.watch.begin("stream")
    engine.turn(111.0)
    engine.has_limit = True
    engine.turn(200.0)
    assert engine.late == []


def test_without_a_limit_nobody_looks() -> None:
    engine = Engine()
    engine.watch.begin("a")
    assert engine.timers == []
    assert engine.watch.limit("a", 2)
    engine.turn(103.0)
    assert engine.late == [("a", 102.0)]
