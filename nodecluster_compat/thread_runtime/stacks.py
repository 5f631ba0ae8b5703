"""Say what the threads of a pool are doing, for a worker that is stuck; ``faulthandler`` has their stacks."""

from __future__ import annotations

import time
from collections.abc import Mapping
from typing import Final

from .pool import ThreadPool

__all__ = ["thread_stacks"]

_MOST_LETTERS: Final = 200


def thread_stacks(pool: ThreadPool | None, doing: Mapping[int, str], waiting: int) -> str:
    """Return which threads are busy, with what and for how long, how many are idle, and what waits for one.

    Args:
        pool: the worker's; ``None``: a program's own, of which nothing is known.
        doing: what each thread is doing, by its number.
        waiting: how many connections have no thread, because they wait for their client.
    """
    idle = f"{waiting} connections wait for their client"
    if pool is None:
        return f"The pool is the program's own; {idle}"
    busy = pool.busy
    now = time.monotonic()
    lines = [
        f"{len(busy)} of {pool.size} threads are busy, {pool.waiting} requests wait for one, {idle}",
        *[
            f"Thread 0x{thread.ident or 0:016x} ({thread.name}), for {now - since:.1f} s: "
            f"{doing.get(thread.ident or 0, 'reads a request')[:_MOST_LETTERS]!r}"
            for thread, since in busy.items()
        ],
    ]
    return "\n".join(lines)
