"""A greenlet does several jobs, unless somebody could tell."""

from __future__ import annotations

import contextvars
import weakref
from collections.abc import Callable
from typing import Any

import gevent
import pytest
from gevent import get_hub, getcurrent
from gevent.local import local
from greenlet import greenlet

from nodecluster_compat.base.native import PYTHON, Choice, in_force
from nodecluster_compat.gevent_runtime import greenlet_pool
from nodecluster_compat.gevent_runtime.greenlet_pool import GreenletPool

CHOICES = [PYTHON] if in_force().module is None else [PYTHON, in_force()]

colour: contextvars.ContextVar[str | None] = contextvars.ContextVar("colour", default=None)


class Jobs:
    """Runs jobs one after another and says how many greenlets did them."""

    def __init__(self, work: Callable[[], None]) -> None:
        self.work = work
        self.done = 0
        self.pool = GreenletPool(self._do)
        self.made: list[int] = []
        self._alive: dict[int, Any] = {}

    def _do(self) -> None:
        self.work()
        self.done += 1

    def run(self, count: int) -> None:
        for number in range(count):
            self.pool.start()
            while self.done <= number:
                gevent.sleep(0)

    @property
    def parked(self) -> int:
        return len(self.pool._parked)


def test_a_greenlet_does_one_job_after_another() -> None:
    """The same object, as long as nobody has kept it."""
    frames: set[int] = set()
    jobs = Jobs(lambda: frames.add(id(getcurrent())))
    jobs.run(20)
    assert len(frames) < 10
    assert jobs.parked == 1


def test_context_variables_end_with_the_job() -> None:
    """Each job begins with an empty context."""
    seen: list[str | None] = []

    def work() -> None:
        seen.append(colour.get())
        colour.set("red")

    Jobs(work).run(10)
    assert seen == [None] * 10


@pytest.mark.parametrize("held_by", [lambda: vars(getcurrent()), lambda: getcurrent().spawn_tree_locals])
def test_attributes_end_with_the_job(held_by: Callable[[], dict[str, Any]]) -> None:
    """What a tracer has set on the greenlet of one client is not there for the next."""
    seen: list[str | None] = []

    def work() -> None:
        seen.append(held_by().get("user"))
        held_by()["user"] = "alice"

    jobs = Jobs(work)
    jobs.run(10)
    assert seen == [None] * 10
    assert jobs.parked == 0


def test_greenlets_that_gevent_does_not_track_are_used_again(monkeypatch: pytest.MonkeyPatch) -> None:
    """With GEVENT_TRACK_GREENLET_TREE=0 they have no locals of a spawn tree."""

    def spawn(work: Callable[..., None], *job: object) -> greenlet:
        made = greenlet(work, get_hub())
        get_hub().loop.run_callback(made.switch, *job)
        return made

    monkeypatch.setattr(greenlet_pool, "spawn_raw", spawn)
    jobs = Jobs(lambda: None)
    jobs.run(10)
    assert jobs.parked == 1


def test_what_is_kept_for_a_greenlet_ends_with_the_job() -> None:
    """Whoever uses thread-locals gets a greenlet of its own, which ends: so do the locals."""
    kept = local()
    seen: list[Any] = []

    def work() -> None:
        seen.append(getattr(kept, "colour", None))
        kept.colour = "red"

    jobs = Jobs(work)
    jobs.run(10)
    assert seen == [None] * 10
    assert jobs.parked == 0


def test_a_greenlet_that_somebody_holds_is_not_used_again() -> None:
    """It ends when it is wanted for the next job."""
    held: list[Any] = []
    jobs = Jobs(lambda: held.append(getcurrent()))
    jobs.run(3)
    gevent.sleep(0)
    assert len({id(one) for one in held}) == 3
    assert [one.dead for one in held] == [True, True, False]


def test_jobs_at_the_same_time_have_greenlets_of_their_own() -> None:
    """And not more of them are kept than the pool's bound."""
    jobs = Jobs(lambda: gevent.sleep(0))
    for _ in range(100):
        jobs.pool.start()
    while jobs.done < 100:
        gevent.sleep(0)
    gevent.sleep(0)
    assert jobs.parked == 64


def test_a_job_that_raises_ends_its_greenlet(capsys: pytest.CaptureFixture[str]) -> None:
    """The next one has another."""
    jobs: list[int] = []

    def work(number: int) -> None:
        jobs.append(number)
        if number == 0:
            raise ValueError("of the job")

    pool = GreenletPool(work)
    for number in range(2):
        pool.start(number)
        gevent.sleep(0)
        gevent.sleep(0)
    assert jobs == [0, 1]
    assert "of the job" in capsys.readouterr().err


def test_a_job_is_killed_as_any_greenlet_of_gevents() -> None:
    """What a drain does at its limit; the first job of a greenlet and a later one."""
    ended: list[int] = []

    def work(number: int) -> None:
        try:
            if number != 1:
                gevent.sleep(600)
        finally:
            ended.append(number)

    pool = GreenletPool(work)
    for number in range(3):
        job = pool.start(number)
        gevent.sleep(0)
        gevent.sleep(0)
        gevent.killall([job], block=False)
        gevent.sleep(0)
        gevent.sleep(0)
    assert ended == [0, 1, 2]


def test_greenlets_that_wait_end_with_the_process() -> None:
    """So they hold nothing; what else the hub has does not run meanwhile."""

    class Held:
        pass

    held = Held()
    reference = weakref.ref(held)
    pool = GreenletPool(lambda _, holder=held: None)
    del held
    pool.start(None)
    gevent.sleep(0)
    beside: list[int] = []
    other = gevent.spawn(beside.append, 1)
    GreenletPool.end_parked()
    del pool
    assert reference() is None
    assert beside == []
    other.join()


def test_no_greenlet_waits_in_a_process_that_a_worker_forked(monkeypatch: pytest.MonkeyPatch) -> None:
    """A child ends when nothing is left to do, and a greenlet that waits is something."""
    monkeypatch.setattr(GreenletPool, "parks", False)
    pool = GreenletPool(lambda *_: None)
    job: Any = pool.start(None)
    gevent.sleep(0)
    assert job.dead


def test_job_that_the_hub_starts_at_once_is_done_when_that_returns() -> None:
    """Up to where it waits; without a parked greenlet, or from another greenlet, it is done on a later turn."""
    seen: list[str] = []

    def work() -> None:
        seen.append("begun")
        gevent.sleep(0)
        seen.append("ended")

    pool = GreenletPool(work)

    def start(who: str) -> None:
        pool.start_at_once()
        seen.append(who)

    for times, call in enumerate((lambda: start("main"), lambda: gevent.get_hub().loop.run_callback(start, "hub")), 1):
        call()
        while seen.count("ended") < times:
            gevent.sleep(0)
    assert seen == ["main", "begun", "ended", "begun", "hub", "ended"]


@pytest.mark.parametrize("choice", CHOICES, ids=str)
@pytest.mark.parametrize("way", ["start", "start_at_once"])
def test_a_greenlet_that_somebody_has_ended_while_it_waited_gets_no_job(choice: Choice, way: str) -> None:
    """As by a time-out of gevent's that a job has started and nobody has cancelled: a job would be lost."""
    done: list[int] = []
    pool = GreenletPool(done.append, choice)
    pool.start(1)
    gevent.sleep(0)
    (parked,) = pool._parked
    parked.parent = getcurrent()
    parked.throw(gevent.GreenletExit)
    assert parked.dead
    del parked

    get_hub().loop.run_callback(getattr(pool, way), 2)
    gevent.sleep(0)
    gevent.sleep(0)
    assert done == [1, 2]


def test_what_is_finalised_behind_a_greenlet_is_so_behind_its_job() -> None:
    """The way for who would link to a greenlet: one that somebody refers to does one job."""
    done: list[str] = []

    def work(name: str) -> None:
        weakref.finalize(gevent.getcurrent(), done.append, name)

    pool = GreenletPool(work)
    for name in ("one", "two"):
        pool.start(name)
        gevent.sleep(0)
        gevent.idle()
        assert done[-1:] == [name]
