"""What a server learns of an application's lifespan."""

from __future__ import annotations

import asyncio
from collections.abc import Callable
from typing import Any

import pytest

from nodecluster_compat.asyncio_runtime.lifespan import ASGIApplication, Event, Lifespan, LifespanFailed


def answering(*answers: str | BaseException | None) -> ASGIApplication:
    """An application that answers its events in turn: sends, raises, or returns for ``None``."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for answer in answers:
            event = await receive()
            if answer is None:
                return
            if isinstance(answer, BaseException):
                raise answer
            scope["state"]["told"] = event["type"]
            await send({"type": f"lifespan.{answer}", "message": "why not"})
        await asyncio.Event().wait()

    return application


def began(application: ASGIApplication, *, is_required: bool = False) -> tuple[bool, str | None, dict[str, Any]]:
    async def both() -> tuple[bool, str | None, dict[str, Any]]:
        state: dict[str, Any] = {}
        lifespan = Lifespan(application, state, is_required=is_required)
        try:
            has_one = await lifespan.startup()
            return has_one, await lifespan.shutdown(), state
        finally:
            lifespan.show()  # or its task would be destroyed later, amid another test

    return asyncio.run(asyncio.wait_for(both(), 20))


def test_startup_and_shutdown() -> None:
    """The application shares its state."""
    has_one, fault, state = began(answering("startup.complete", None))
    assert (has_one, fault, state) == (True, None, {"told": "lifespan.startup"})


@pytest.mark.parametrize("end", [None, ValueError("unknown scope")])
def test_application_without_one(end: BaseException | None) -> None:
    """It returns or raises before startup is complete."""
    assert began(answering(end))[:2] == (False, None)


@pytest.mark.parametrize("hears", [True, False])
def test_what_was_raised_instead_of_a_startup(hears: bool) -> None:
    """And whether the application knew what it was told."""
    fault = ValueError("no database")

    async def application(_: Any, receive: Any, __: Any) -> None:
        if hears:
            await receive()
        raise fault

    async def told() -> tuple[BaseException | None, bool]:
        lifespan = Lifespan(application, {}, is_required=False)
        assert not await lifespan.startup()
        return lifespan.raised, lifespan.is_known

    assert asyncio.run(told()) == (fault, hears)


@pytest.mark.parametrize(("end", "sentence"), [(None, "returned"), (ValueError("x"), r"raised ValueError\('x'\)")])
def test_application_without_one_that_must_have_one(end: BaseException | None, sentence: str) -> None:
    """``asgi_lifespan = "on"``."""
    with pytest.raises(LifespanFailed, match=f"the application {sentence} before startup"):
        began(answering(end), is_required=True)


def test_startup_that_fails() -> None:
    """With the reason that the application gave."""
    with pytest.raises(LifespanFailed, match=r"^why not$"):
        began(answering("startup.failed"))


def test_shutdown_that_fails() -> None:
    """It says so, or raises."""
    assert began(answering("startup.complete", "shutdown.failed"))[1] == "why not"
    assert began(answering("startup.complete", KeyError("x")))[1] == "KeyError('x')"


def test_answer_to_nothing_is_an_error_of_the_application() -> None:
    """It is raised where it was sent."""
    with pytest.raises(LifespanFailed, match=r"expected lifespan\.startup\.complete or its like"):
        began(answering("shutdown.complete"), is_required=True)


def test_event_type() -> None:
    """Events are what ASGI says."""

    async def application(scope: Any, receive: Any, send: Any) -> None:
        event: Event = await receive()
        assert (scope["type"], event) == ("lifespan", {"type": "lifespan.startup"})
        await send({"type": "lifespan.startup.complete"})
        assert await receive() == {"type": "lifespan.shutdown"}
        await send({"type": "lifespan.shutdown.complete"})

    assert began(application)[:2] == (True, None)


def test_application_that_cancels_every_task_begins_and_ends_in_order() -> None:
    """Whoever waits for it asks again, and it hears of each event once."""
    heard: list[str] = []

    async def application(scope: Any, receive: Any, send: Any) -> None:
        for what in ("startup", "shutdown"):
            heard.append((await receive())["type"])
            for task in asyncio.all_tasks() - {asyncio.current_task()} - patient:
                task.cancel()
            await asyncio.sleep(0)
            await send({"type": f"lifespan.{what}.complete"})

    patient: set[Any] = set()

    async def told(tell: Callable[[], Any]) -> Any:
        while True:
            task = asyncio.ensure_future(tell())
            await asyncio.wait([task])
            if not task.cancelled():
                return task.result()

    async def both() -> tuple[bool, str | None]:
        patient.add(asyncio.current_task())
        lifespan = Lifespan(application, {}, is_required=True)
        return await told(lifespan.startup), await told(lifespan.shutdown)

    assert asyncio.run(both()) == (True, None)
    assert heard == ["lifespan.startup", "lifespan.shutdown"]


def test_application_that_is_cancelled_has_no_lifespan() -> None:
    """As one that raises anything else before startup is complete."""
    assert began(answering(asyncio.CancelledError()))[:2] == (False, None)


def test_application_that_cancels_every_task_it_finds_hears_of_the_shutdown() -> None:
    """The task of its lifespan is not among those of the loop until the server shows it."""

    def is_found() -> bool:
        return "lifespan" in [task.get_name() for task in asyncio.all_tasks()]

    async def lives() -> list[object]:
        lifespan = Lifespan(answering("startup.complete", None), {}, is_required=True)
        began, found = await lifespan.startup(), is_found()
        fault = await lifespan.shutdown()
        hung = Lifespan(answering("startup.complete"), {}, is_required=True)
        await hung.startup()
        hung.show()
        return [began, found, fault, is_found()]

    assert asyncio.run(asyncio.wait_for(lives(), 20)) == [True, False, None, True]
