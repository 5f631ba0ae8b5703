"""Handlers are called in C as in Python: with their origin, and what they raise or leave to await harms nobody else."""

from __future__ import annotations

import asyncio
import gc
import logging
import weakref
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import gevent
import pytest

from nodecluster_compat.base import handler_calls
from nodecluster_compat.base.handler_calls import collect, current_origin, guarded, set_awaiting
from nodecluster_compat.base.native import PYTHON, Choice, in_force

needs_native = pytest.mark.skipif(in_force().module is None, reason=str(in_force()))


@pytest.fixture(params=[pytest.param(PYTHON, id="python"), pytest.param(in_force(), id="native", marks=needs_native)])
def guard(request: pytest.FixtureRequest) -> Callable[[Callable[..., Any]], Callable[..., None]]:
    choice: Choice = request.param
    return lambda call: guarded("a test", "somewhere", call, choice)


Guard = Callable[[Callable[..., Any]], Callable[..., None]]


def test_handler_runs_with_its_origin(guard: Guard) -> None:
    """Given what it is called with; afterwards the origin is the one before."""
    seen: list[object] = []
    before = current_origin()
    call = guard(lambda *args: seen.extend([args, current_origin()]))
    call(1, 2)
    assert seen == [(1, 2), "somewhere"]
    assert current_origin() == before
    with pytest.raises(TypeError, match="keyword"):
        call(three=3)


def test_handlers_nest(guard: Guard) -> None:
    seen: list[object] = []
    outer = handler_calls.guarded(
        "a test",
        "outside",
        lambda: (guard(lambda: seen.append(current_origin()))(), seen.append(current_origin())),
        PYTHON,
    )
    outer()
    assert seen == ["somewhere", "outside"]


def test_what_a_handler_raises_is_logged(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    """With its traceback, and the origin is the one before."""
    before = current_origin()

    def broken() -> None:
        raise ValueError("a bug")

    guard(broken)()
    [record] = [one for one in caplog.records if one.name == "nodecluster_compat"]
    assert record.levelno == logging.ERROR
    assert record.exc_info is not None
    assert isinstance(record.exc_info[1], ValueError)
    assert "in broken" in caplog.text
    assert current_origin() == before


@pytest.fixture
def uncaught() -> Iterator[list[BaseException]]:
    taken: list[BaseException] = []

    def take(error: BaseException) -> bool:
        taken.append(error)
        if error.args == ("end",):
            raise SystemExit(3)
        return error.args == ("known",)

    handler_calls.set_uncaught(take)
    yield taken
    handler_calls.set_uncaught(None)


def test_who_takes_what_nobody_caught_may_end_the_process(guard: Guard, uncaught: list[BaseException]) -> None:
    """What it raises comes out, with what it was about."""

    def broken() -> None:
        raise ValueError("end")

    with pytest.raises(SystemExit) as raised:
        guard(broken)()
    assert raised.value.__context__ is uncaught[0]


def test_what_was_taken_is_not_logged(
    guard: Guard, uncaught: list[BaseException], caplog: pytest.LogCaptureFixture
) -> None:
    def broken() -> None:
        raise ValueError("known")

    guard(broken)()
    assert [str(error) for error in uncaught] == ["known"]
    assert not caplog.records


@pytest.mark.parametrize("error", [SystemExit, KeyboardInterrupt, GeneratorExit, gevent.Timeout])
def test_what_ends_the_process_comes_out(guard: Guard, error: type[BaseException]) -> None:
    before = current_origin()

    def leaving() -> None:
        raise error

    with pytest.raises(error):
        guard(leaving)()
    assert current_origin() == before


def test_what_is_left_to_await_is_kept(guard: Guard) -> None:
    """Anything else that a handler returns is dropped."""

    async def later() -> None: ...

    set_awaiting(lambda _: None)
    try:
        for result, count in ((later, 1), (lambda: 7, 0), (lambda: object, 0), (lambda: None, 0)):
            kept = collect(guard(result))
            assert len(kept) == count
            for one in kept:
                asyncio.run(_awaited(one))
    finally:
        set_awaiting(None)


async def _awaited(one: Awaitable[None]) -> None:
    await one


def test_coroutine_that_nobody_awaits_is_said(guard: Guard, caplog: pytest.LogCaptureFixture) -> None:
    async def later() -> None: ...

    guard(later)()
    assert "no event loop runs here to await it" in caplog.text


def test_handler_is_freed_with_what_it_guards(guard: Guard) -> None:
    """Also where both refer to each other."""

    class Held:
        call: Callable[..., None]

        def __call__(self) -> None: ...

    held = Held()
    held.call = guard(held)
    gone = weakref.ref(held)
    del held
    gc.collect()
    assert gone() is None
