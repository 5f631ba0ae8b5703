"""How an ASGI worker ends what its application has left."""

from __future__ import annotations

import asyncio

import gunicorn
import pytest

if gunicorn.version_info < (27, 0, 1):
    pytest.skip("ASGIWorker needs gunicorn 27.0.1", allow_module_level=True)

from nodecluster_compat._gunicorn.worker.asgi import worker as worker_module


def test_task_that_does_not_end_is_waited_for_once(monkeypatch: pytest.MonkeyPatch) -> None:
    """Tasks are ended several times, and only the first is for it; what has begun since is ended as well."""
    monkeypatch.setattr(worker_module, "_END_SECONDS", 0.01)
    worker = object.__new__(worker_module.ClusterASGIWorker)
    worker._given_up = set()
    worker._lifespan = None
    cancelled = []

    async def stubborn(name: str, patience: int) -> None:
        while patience:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                cancelled.append(name)
                patience -= 1

    async def both() -> list[str]:
        worker.loop = asyncio.get_running_loop()
        task = asyncio.ensure_future(stubborn("first", 2))
        await asyncio.sleep(0)
        await worker._end_tasks()
        later = asyncio.ensure_future(stubborn("later", 1))
        await asyncio.sleep(0)
        await worker._end_tasks()
        told = list(cancelled)
        task.cancel()
        await asyncio.wait([task, later])
        return told

    assert asyncio.run(both()) == ["first", "later"]
