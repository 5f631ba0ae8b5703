"""The loop of an ASGI worker runs while the worker waits; what ends the worker is raised there."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from threading import Thread

import pytest

from nodecluster_compat._gunicorn.worker.asgi.running_loop import RunningLoop

HOUR = 3600.0


class Rig:
    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.ended = 0
        self.running = RunningLoop(loop, self._end_tasks)

    def _end_tasks(self) -> None:
        self.ended += 1


@pytest.fixture
def rig() -> Iterator[Rig]:
    loop = asyncio.new_event_loop()
    yield Rig(loop)
    loop.close()


async def value() -> int:
    return 7


def test_it_runs_until_something_has_ended(rig: Rig) -> None:
    assert rig.running.run_loop(value()) == 7


def test_what_an_application_has_cancelled_has_ended(rig: Rig) -> None:
    """It may cancel every task that it finds."""
    task = rig.loop.create_task(asyncio.sleep(HOUR))
    rig.loop.call_soon(task.cancel)
    assert rig.running.run_loop(task) is None


def test_wait_ends_by_a_wake_of_another_thread_or_by_one_before(rig: Rig) -> None:
    """And the next one waits again: each wake ends one."""
    thread = Thread(target=rig.running.wake)
    rig.loop.call_soon(thread.start)
    rig.running.wait(HOUR)
    thread.join()
    rig.running.wake()
    rig.running.wait(HOUR)
    turns: list[int] = []
    rig.loop.call_later(0.001, turns.append, 1)
    rig.loop.call_later(0.002, rig.running.wake)
    rig.running.wait(HOUR)
    assert turns == [1]


def test_what_is_thrown_is_raised_where_it_runs_and_once(rig: Rig) -> None:
    rig.loop.call_soon(rig.running.throw, SystemExit(3))
    with pytest.raises(SystemExit):
        rig.running.wait(HOUR)
    assert (rig.running.run_loop(value()), rig.ended) == (7, 1)


def test_loop_that_somebody_else_has_stopped_is_an_error(rig: Rig) -> None:
    rig.loop.call_soon(rig.loop.stop)
    with pytest.raises(RuntimeError):
        rig.running.run_loop(asyncio.Future(loop=rig.loop))


def test_who_throws_into_a_loop_that_is_closed_is_not_disturbed(rig: Rig) -> None:
    """The process ends anyhow."""
    rig.loop.close()
    rig.running.throw(SystemExit(3))
    rig.running.wake()
    assert rig.ended == 1
