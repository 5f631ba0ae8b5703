"""Handlers, messages, waits and timers on an asyncio loop."""

from __future__ import annotations

import asyncio
import gc
import os
import socket
import threading
from collections.abc import Awaitable, Callable, Iterator
from contextlib import suppress
from typing import Any

import pytest

from nodecluster_compat.asyncio_runtime.opening import Opener
from nodecluster_compat.asyncio_runtime.reactor import AsyncioReactor
from nodecluster_compat.asyncio_runtime.task_stacks import task_stacks
from nodecluster_compat.base.emitter import Emitter
from nodecluster_compat.base.handler_calls import set_awaiting
from nodecluster_compat.base.timers import Timer
from nodecluster_compat.errors import WouldBlock
from nodecluster_compat.messages.frames import Frame, FrameKind


@pytest.fixture
def loop() -> Iterator[asyncio.AbstractEventLoop]:
    loop = asyncio.new_event_loop()
    yield loop
    loop.close()


@pytest.fixture
def reactor(loop: asyncio.AbstractEventLoop) -> Iterator[AsyncioReactor]:
    reactor = AsyncioReactor(loop)
    set_awaiting(reactor.await_soon, reactor.ends_handler)
    yield reactor
    set_awaiting(None)


def run(loop: asyncio.AbstractEventLoop, until: Callable[[], object]) -> None:
    """Run the loop until something is so."""

    async def turn() -> None:
        while not until():
            await asyncio.sleep(0)

    loop.run_until_complete(asyncio.wait_for(turn(), 20))


def test_handlers_of_messages_are_awaited_one_message_after_another(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor
) -> None:
    """A slow handler holds up the next message."""
    emitter, seen = Emitter(), []
    frames = [Frame(FrameKind.MESSAGE, bytes([number])) for number in range(4)]

    @emitter.on("message")
    async def handle(number: int) -> None:
        await asyncio.sleep(0.002 * (4 - number))
        seen.append(number)

    waiting = iter(frames)
    reactor.deliver(lambda: next(waiting, None), lambda frame: emitter.emit("message", frame.payload[0]))
    run(loop, lambda: len(seen) == 4)
    assert seen == [0, 1, 2, 3]


def delivered(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor, emitter: Emitter, count: int) -> None:
    """Deliver so many messages."""
    frames = [Frame(FrameKind.MESSAGE, bytes([number])) for number in range(count)]
    reactor.deliver(lambda: frames.pop(0) if frames else None, lambda frame: emitter.emit("message", frame.payload[0]))


async def cancel_itself() -> None:
    task = asyncio.current_task()
    assert task is not None
    task.cancel()
    await asyncio.sleep(0)


async def await_cancelled() -> None:
    task = asyncio.create_task(asyncio.sleep(20))
    task.cancel()
    await task


@pytest.mark.parametrize("be_cancelled", [cancel_itself, await_cancelled])
def test_handler_that_is_cancelled_ends_alone(
    loop: asyncio.AbstractEventLoop,
    reactor: AsyncioReactor,
    caplog: pytest.LogCaptureFixture,
    be_cancelled: Callable[[], Awaitable[None]],
) -> None:
    """The event's other handlers and the next messages have theirs, and a time-out in them is their own."""
    emitter, seen = Emitter(), []

    @emitter.on("message")
    async def is_cancelled(number: int) -> None:
        if number == 0:
            await be_cancelled()

    @emitter.on("message")
    async def hears(number: int) -> None:
        with suppress(asyncio.TimeoutError):
            await asyncio.wait_for(asyncio.sleep(20), 0.001)
        seen.append(number)

    delivered(loop, reactor, emitter, 3)
    run(loop, lambda: len(seen) == 3)
    assert seen == [0, 1, 2]
    assert caplog.text.count("A handler raised: event 'message'") == 1


def test_plain_handler_that_reads_a_cancelled_future_ends_alone(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor
) -> None:
    """``CancelledError`` is no ``Exception``, and ends nothing else there either."""
    emitter, seen = Emitter(), []

    @emitter.on("message")
    def reads(number: int) -> None:
        if number == 0:
            future = loop.create_future()
            future.cancel()
            future.result()
        seen.append(number)

    delivered(loop, reactor, emitter, 2)
    run(loop, lambda: seen)
    assert seen == [1]


def test_application_that_cancels_every_task_loses_no_message(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor
) -> None:
    """Nor any handler of a timer, or what is to follow one: tasks that have not run yet are made anew."""
    emitter, seen = Emitter(), []

    @emitter.on("message")
    async def hears(number: int) -> None:
        seen.append(number)

    delivered(loop, reactor, emitter, 2)
    reactor.await_soon(hears(2))
    for task in asyncio.all_tasks(loop):
        task.cancel()
    run(loop, lambda: len(seen) == 3)
    assert sorted(seen) == [0, 1, 2]


def test_handler_is_cancelled_when_the_worker_ends(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor) -> None:
    """And no further message is told."""
    emitter, seen = Emitter(), []

    @emitter.on("message")
    async def hears(number: int) -> None:
        seen.append(number)
        await asyncio.Event().wait()

    delivered(loop, reactor, emitter, 2)
    run(loop, lambda: seen)
    reactor.end_tasks()
    tasks = asyncio.all_tasks(loop)
    for task in tasks:
        task.cancel()
    run(loop, lambda: all(task.done() for task in tasks))
    assert seen == [0]


def test_message_that_comes_while_the_worker_ends_is_told_to_nobody(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor
) -> None:
    """The loop turns a little longer, for tasks to end."""
    emitter, seen = Emitter(), []
    emitter.on("message", seen.append)
    delivered(loop, reactor, emitter, 1)
    run(loop, lambda: seen)
    reactor.end_tasks()
    delivered(loop, reactor, emitter, 1)
    items = [7]
    reactor.deliver_apart(lambda: items.pop() if items else None, seen.append)
    turns = iter(range(5))
    run(loop, lambda: next(turns) == 4)
    assert seen == [0]


def test_exit_of_a_handler_is_no_complaint(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor) -> None:
    """Whatever else ends a task of ours is told."""
    told: list[str] = []
    loop.set_exception_handler(lambda _, context: told.append(repr(context.get("exception"))))
    emitter = Emitter()

    @emitter.on("message")
    async def ends(number: int) -> None:
        raise SystemExit(number)

    delivered(loop, reactor, emitter, 1)
    with pytest.raises(SystemExit):
        run(loop, lambda: False)
    frames = iter([1])
    reactor.deliver(lambda: next(frames, None), lambda _: (_ for _ in ()).throw(LookupError("lost")))  # type: ignore[arg-type, return-value]
    run(loop, lambda: told)
    gc.collect()
    assert "LookupError('lost')" in told
    assert not [one for one in told if "SystemExit" in one]


def test_what_follows_waits_for_handlers(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor) -> None:
    """``then`` is called behind all of them, also when one raises."""
    emitter, seen = Emitter(), []

    @emitter.on("leaving")
    async def slow() -> None:
        await asyncio.sleep(0)
        seen.append("slow")

    @emitter.on("leaving")
    async def fails() -> None:
        await asyncio.sleep(0)
        raise LookupError("logged")

    reactor.spawn(lambda: emitter.emit("leaving"), lambda: seen.append("then"))
    assert seen == []
    run(loop, lambda: "then" in seen)
    assert seen == ["slow", "then"]


def test_event_that_nobody_delivers_is_awaited_all_the_same(
    loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor
) -> None:
    """Also one that a task emits which a handler has begun."""
    emitter, seen = Emitter(), []

    async def emit_later() -> None:
        await asyncio.sleep(0)
        emitter.emit("second")

    @emitter.on("first")
    def begin() -> None:
        seen.append(loop.create_task(emit_later()))

    @emitter.on("second")
    async def second() -> None:
        seen.append("second")

    reactor.spawn(lambda: emitter.emit("first"))
    run(loop, lambda: "second" in seen)


def test_waiting_is_for_tasks_and_threads(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor) -> None:
    """In the loop's thread a call that waits is refused, and says what to write."""
    with pytest.raises(WouldBlock, match=r"await process\.request_async"):
        reactor.wait(lambda done: done())
    ended = []

    def in_thread() -> None:
        reactor.wait(reactor.call_soon)
        ended.append("thread")

    async def in_task() -> None:
        await reactor.waiting(lambda done: threading.Thread(target=done).start())
        ended.append("task")

    thread = threading.Thread(target=in_thread)
    thread.start()
    task = loop.create_task(in_task())
    run(loop, lambda: len(ended) == 2)
    thread.join()
    assert task.done()


def test_timer_fires_once_and_a_cancelled_one_never(loop: asyncio.AbstractEventLoop, reactor: AsyncioReactor) -> None:
    """From another thread as well."""
    fired: list[str] = []

    async def callback(name: str) -> None:
        fired.append(name)

    first, second = (Timer(callback, (name,), None) for name in ("first", "second"))
    thread = threading.Thread(target=lambda: (reactor.start(second, 0.0), second.cancel(), reactor.start(first, 0.0)))
    thread.start()
    thread.join()
    run(loop, lambda: "first" in fired)
    assert fired == ["first"]


def test_reactor_of_a_loop_that_is_closed_does_nothing(
    reactor: AsyncioReactor, loop: asyncio.AbstractEventLoop
) -> None:
    """A thread may still send when the process ends."""
    loop.close()
    raised: list[BaseException] = []
    called: list[str] = []

    def send() -> None:
        try:
            reactor.call_soon(called.append, "soon")
        except BaseException as error:  # noqa: BLE001 - whatever it is
            raised.append(error)

    thread = threading.Thread(target=send)
    thread.start()
    thread.join()
    assert (raised, called) == ([], [])
    reactor.at_turn_end(print)


def test_stacks_name_every_task_and_what_it_waits_in(loop: asyncio.AbstractEventLoop) -> None:
    """From the outermost call to the innermost."""

    async def inner() -> None:
        await loop.create_future()

    async def outer() -> None:
        await inner()

    waiting = loop.create_task(outer(), name="mine")
    loop.run_until_complete(asyncio.sleep(0))
    text = task_stacks(loop, None)
    assert "Task 'mine'" in text
    assert text.index("in outer") < text.index("in inner") < text.index("await loop.create_future()")
    waiting.cancel()
    loop.run_until_complete(asyncio.wait([waiting]))
    assert task_stacks(loop, None) == "(no tasks)"


@pytest.mark.parametrize("is_uvloop", [False, True])
def test_connection_that_cannot_be_opened_is_told(loop: asyncio.AbstractEventLoop, is_uvloop: bool) -> None:
    """Its descriptor is closed."""

    async def refuse(*_: Any, **__: Any) -> None:
        raise ConnectionResetError

    opener, errors = Opener(loop, None, 0), list[Exception]()
    opener._connect, opener._is_uvloop = refuse, is_uvloop  # type: ignore[assignment]
    near, far = socket.socketpair()
    opener.open(near.family, near.detach(), asyncio.Protocol(), errors.append)
    assert [type(error) for error in errors] == [ConnectionResetError]
    with far:
        assert far.recv(1) == b""


@pytest.mark.parametrize("kind", ["asyncio", "uvloop"])
def test_connection_is_closed_once(kind: str) -> None:
    """By its transport: whatever has its number by then stays open."""

    class Echo(asyncio.Protocol):
        def connection_made(self, transport: asyncio.BaseTransport) -> None:
            self.transport = transport

        def data_received(self, data: bytes) -> None:
            self.transport.write(data)  # type: ignore[attr-defined]
            self.transport.close()

        def connection_lost(self, _: Exception | None) -> None:
            spare.append(os.dup(far.fileno()))

    made = asyncio if kind == "asyncio" else pytest.importorskip("uvloop")
    loop, spare = made.new_event_loop(), list[int]()
    near, far = socket.socketpair()
    far.settimeout(20)
    far.send(b"hello")
    Opener(loop, None, 0).open(near.family, near.detach(), Echo(), lambda error: None)
    run(loop, lambda: spare)
    loop.close()
    gc.collect()
    assert far.recv(9) == b"hello"
    os.close(spare[0])
    with far:
        assert far.recv(9) == b""
