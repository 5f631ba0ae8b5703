"""One timer for all requests of a worker: when it is set, and whom it ends."""

from __future__ import annotations

import gc
from collections.abc import Callable
from types import SimpleNamespace
from typing import Any

import pytest
from gevent import get_hub, getcurrent, sleep, spawn

from nodecluster_compat.errors import TimeLimitExceeded
from nodecluster_compat.gevent_runtime import late_greenlets
from nodecluster_compat.gevent_runtime.greenlet_stacks import greenlet_stacks
from nodecluster_compat.gevent_runtime.late_greenlets import LateGreenlets
from nodecluster_compat.operations.metrics.request_meter import NO_SLOT, RequestMeter


class Clock:
    """A loop whose time a test turns, and what else the requests of a worker need."""

    def __init__(self) -> None:
        self.now = 100.0
        self.timers: list[Any] = []
        self.meter = RequestMeter(clock=lambda: self.now)
        self.serving: dict[Any, Any] = {}
        self.slots: dict[Any, int] = {}
        self.told: list[str] = []
        self.limits: LateGreenlets

    def begin(self, seconds: float) -> None:
        self.limits = LateGreenlets(
            seconds,
            self.meter,
            self.serving,
            self.slots,
            lambda _: False,
            lambda request, *_: self.told.append(request),
        )

    def timer(self, seconds: float, **_: object) -> Any:
        timer = SimpleNamespace(due=self.now + seconds, call=None, stop=lambda: None)
        timer.start = lambda call: setattr(timer, "call", call)
        timer.close = lambda: self.timers.remove(timer)
        self.timers.append(timer)
        return timer

    def turn(self) -> None:
        """Let the time pass until the timer fires."""
        [timer] = self.timers
        self.now = timer.due
        timer.call()

    def request(self, sock: str, wait: Callable[[], object]) -> Any:
        """Begin one, in a greenlet of its own; its value is how it has ended."""

        def serve() -> object:
            self.serving[getcurrent()] = sock
            self.slots[sock] = slot = NO_SLOT if sock == "beyond" else self.meter.open("1.2.3.4:5")
            started = self.meter.begin(slot, b"GET /slow HTTP/1.1")
            if slot == NO_SLOT:
                self.limits.begin_without_slot(sock, "GET /beyond", "")
            try:
                return wait()
            except TimeLimitExceeded as error:
                return f"{self.now}: {error}"
            finally:
                self.limits.end_without_slot(sock)
                self.meter.end(slot, started, "GET", 200, 0)
                del self.serving[getcurrent()]

        greenlet = spawn(serve)
        sleep(0)
        return greenlet


@pytest.fixture
def clock(monkeypatch: pytest.MonkeyPatch) -> Clock:
    clock = Clock()
    loop = SimpleNamespace(timer=clock.timer, run_callback=get_hub().loop.run_callback)
    monkeypatch.setattr(late_greenlets, "get_hub", lambda: SimpleNamespace(loop=loop))
    monkeypatch.setattr(late_greenlets, "monotonic", lambda: clock.now)
    return clock


def forever() -> None:
    sleep(1000)


def test_worker_wakes_up_once_for_each_limit(clock: Clock) -> None:
    """While nothing is in flight, and while all end in time: a request sets no timer."""
    clock.begin(30)
    for _ in range(3):
        for _ in range(100):
            clock.request("a", lambda: "in time").join()
        [timer] = clock.timers
        assert timer.due == clock.now + 30
        clock.turn()
    assert clock.told == []


@pytest.mark.parametrize("sock", ["a", "beyond"])
def test_late_request_is_ended_when_it_is_due(clock: Clock, sock: str) -> None:
    """To the moment, whenever it began; another one is not, nor one that has no slot of the meter."""
    clock.begin(30)
    clock.now = 110.0
    late = clock.request(sock, forever)
    clock.now = 115.0
    other = clock.request("b", forever)
    clock.turn()
    assert clock.now == 130
    clock.turn()
    path = "/beyond" if sock == "beyond" else "/slow"
    assert late.get(timeout=20) == f"140.0: GET {path} took longer than 30 s"
    assert clock.told == [f"GET {path}"]
    assert not other.ready()
    clock.turn()
    while not other.ready():
        clock.turn()
        sleep(0)
    assert other.value == "145.0: GET /slow took longer than 30 s"


def test_own_limit_puts_the_timer_forward(clock: Clock) -> None:
    """Once: further requests that have it find the timer early enough."""
    clock.begin(30)

    def limited() -> object:
        assert clock.limits.limit(0.5)
        return "in time"

    before = clock.timers[0]
    clock.request("a", limited).join()
    [timer] = clock.timers
    assert timer is not before
    assert timer.due == 100.5
    for _ in range(10):
        clock.request("a", limited).join()
    assert clock.timers == [timer]
    assert not clock.limits.limit(1)  # the caller serves nothing
    late = clock.request("a", lambda: (clock.limits.limit(0.25), forever()))
    clock.turn()
    assert late.get(timeout=20) == "100.25: GET /slow took longer than 0.25 s"


def test_who_serves_is_seen_where_the_collector_does_not_look(clock: Clock) -> None:
    """A script's worker freezes what there is within its first request, whose greenlet serves others later."""
    clock.begin(0)
    served = clock.request("a", forever)
    gc.freeze()
    try:
        assert f"{id(served):#x}" in greenlet_stacks()
    finally:
        gc.unfreeze()
    served.kill()
    assert f"{id(served):#x}" not in greenlet_stacks()


def test_nothing_is_asked_for_its_class(clock: Clock) -> None:
    """As an object that is set up when somebody first looks at it."""

    class Lazy:
        @property
        def __class__(self) -> type:
            raise RuntimeError("somebody has looked")

    lazy = Lazy()
    assert greenlet_stacks()
    assert type(lazy) is Lazy
