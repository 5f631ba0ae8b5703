"""What a loop still does in a process that one of its tasks has forked: nothing but to end it."""

from __future__ import annotations

import asyncio
import os
import sys
from collections.abc import Awaitable, Callable

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
            forked_loop._leave(loop)
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
