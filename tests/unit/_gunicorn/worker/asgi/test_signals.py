"""How a worker of ASGI hears signals."""

from __future__ import annotations

import asyncio
from types import SimpleNamespace
from typing import Any

from nodecluster_compat._gunicorn.worker.asgi.worker import ClusterASGIWorker


def test_logs_are_reopened_between_two_callbacks() -> None:
    """Never within one, which may be writing a line; nor when the loop is closed."""
    reopened: list[bool] = []
    worker: Any = object.__new__(ClusterASGIWorker)
    worker.log = SimpleNamespace(reopen_files=lambda: reopened.append(True))
    worker.loop = asyncio.new_event_loop()
    worker.handle_usr1(10, None)
    assert not reopened
    worker.loop.run_until_complete(asyncio.sleep(0))
    assert reopened == [True]
    worker.loop.close()
    worker.handle_usr1(10, None)
