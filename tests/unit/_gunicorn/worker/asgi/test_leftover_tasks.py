"""How an ASGI worker ends what its application has left."""

from __future__ import annotations

import asyncio
from collections.abc import Coroutine
from types import SimpleNamespace
from typing import Any

import gunicorn
import pytest

if gunicorn.version_info < (27, 0, 1):
    pytest.skip("ASGIWorker needs gunicorn 27.0.1", allow_module_level=True)

from nodecluster_compat._gunicorn.worker.asgi import leftover_tasks
from nodecluster_compat.socketio.moving import move_clients_in_task


def test_task_that_does_not_end_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are ended several times, and only the first is for it; what has begun since is ended as well."""
    monkeypatch.setattr(leftover_tasks, "_END_SECONDS", 0.01)
    leftover = leftover_tasks.LeftoverTasks()
    cancelled = []

    async def stubborn(name: str, patience: int) -> None:
        while patience:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(name)
                patience -= 1

    async def both() -> list[str]:
        task = asyncio.ensure_future(stubborn("first", 2))
        await asyncio.sleep(0)
        await leftover.end()
        later = asyncio.ensure_future(stubborn("later", 1))
        await asyncio.sleep(0)
        await leftover.end()
        told = list(cancelled)
        task.cancel()
        await asyncio.wait([task, later])
        return told

    assert asyncio.run(both()) == ["first", "later"]


def test_what_a_thread_gives_a_loop_that_closes_is_refused() -> None:
    """It would wait for ever; what had come before it is ended."""
    loop = asyncio.new_event_loop()
    leftover, ended = leftover_tasks.LeftoverTasks(), []

    async def waits() -> None:
        try:
            await asyncio.Event().wait()
        finally:
            with pytest.raises(RuntimeError, match="closed"):
                loop.call_soon_threadsafe(ended.append, "late")
            ended.append("task")

    def end_tasks() -> Coroutine[Any, Any, None]:
        if hasattr(loop.call_soon_threadsafe, "__self__"):  # asyncio's own: the first time
            return asyncio.sleep(0)
        return leftover.end()

    task = loop.create_task(waits())
    leftover_tasks.close_loop(loop, end_tasks)
    assert ended == ["task"]
    assert task.cancelled()
    assert loop.is_closed()


def test_what_moves_clients_of_socketio_stands_by_and_their_handlers_do_not() -> None:
    """It never ends; what it begins runs functions of the application."""

    async def close_all(_: list[Any]) -> None:
        await asyncio.Event().wait()

    async def run() -> list[bool]:
        client = SimpleNamespace(closed=False, closing=False)
        server = SimpleNamespace(
            eio=SimpleNamespace(sockets={"client": client}),
            start_background_task=lambda call, *args: begun.append(asyncio.ensure_future(call(*args))),
            sleep=asyncio.sleep,
        )
        server.start_background_task(move_clients_in_task, server, close_all)
        await asyncio.sleep(0)
        told = [leftover_tasks.stands_by(one) for one in begun]
        for one in begun:
            one.cancel()
        await asyncio.wait(begun)
        return told

    begun: list[asyncio.Task[Any]] = []
    assert asyncio.run(run()) == [True, False]
