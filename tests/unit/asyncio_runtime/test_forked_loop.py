"""What a loop still does in a process that one of its tasks has forked: nothing but to end it."""

from __future__ import annotations

import asyncio
import os
import signal
import sys
from collections.abc import Awaitable, Callable
from threading import get_ident
from typing import Any

import pytest
import uvloop

from nodecluster_compat.asyncio_runtime import forked_loop

WENT_ON = 99


async def returns() -> None:
    pass


async def raises() -> None:
    raise ValueError("in the child")


async def awaits() -> None:
    await asyncio.sleep(0)


async def exits() -> None:
    sys.exit(5)


async def forked(in_child: Callable[[], Awaitable[None]], told: int) -> int:
    """Fork in a task, beside one that is ready as well; return how the child has ended."""
    loop = asyncio.get_running_loop()

    async def fork() -> int:
        pid = os.fork()
        if pid == 0:
            forked_loop._leave(loop, get_ident())
            await in_child()
        return pid

    async def pay() -> None:
        os.write(told, b"paid\n")

    forking, _ = loop.create_task(fork()), loop.create_task(pay())
    return os.waitstatus_to_exitcode(os.waitpid(await forking, 0)[1])


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize(("in_child", "code"), [(returns, 0), (raises, 1), (awaits, 1), (exits, 5)])
def test_child_of_a_task_runs_no_other_one(
    new_loop: Callable[[], asyncio.AbstractEventLoop], in_child: Callable[[], Awaitable[None]], code: int
) -> None:
    """``sys.exit()`` may come to whoever runs the loop."""
    loop = new_loop()
    here = os.getpid()
    reading, told = os.pipe()
    try:
        ended = loop.run_until_complete(forked(in_child, told))
    except SystemExit as error:
        os._exit(int(str(error.code)))
    finally:
        if os.getpid() != here:
            os._exit(WENT_ON)
    loop.close()
    os.close(told)
    with os.fdopen(reading, "rb") as heard:
        assert heard.read() == b"paid\n"
    assert ended == code


def fork_here(loop: asyncio.AbstractEventLoop, ident: int, error: BaseException | None) -> int:
    """In a thread: fork, and return in both, or raise in the child."""
    pid = os.fork()
    if pid == 0:
        signal.alarm(20)  # so that a thread that waits for ever ends
        forked_loop._leave(loop, ident)
        if error is not None:
            raise error
    return pid


@pytest.mark.parametrize("new_loop", [asyncio.new_event_loop, uvloop.new_event_loop], ids=["asyncio", "uvloop"])
@pytest.mark.parametrize("by", ["asyncio", "anyio"])
@pytest.mark.parametrize(("error", "code"), [(None, 0), (ValueError("in the child"), 1), (SystemExit(5), 5)])
def test_child_of_a_thread_ends_with_its_job(
    new_loop: Callable[[], asyncio.AbstractEventLoop], by: str, error: BaseException | None, code: int
) -> None:
    """As an endpoint that is a ``def`` has one, by Starlette."""
    loop = new_loop()
    in_thread: Any = asyncio.to_thread if by == "asyncio" else pytest.importorskip("anyio").to_thread.run_sync

    async def forked_there() -> int:
        return os.waitstatus_to_exitcode(os.waitpid(await in_thread(fork_here, loop, get_ident(), error), 0)[1])

    try:
        assert loop.run_until_complete(forked_there()) == code
    finally:
        loop.run_until_complete(loop.shutdown_default_executor())
        loop.close()
