"""An ASGI application that does what a test asks for.

``/`` answers; ``/held`` answers when the file ``release`` exists; ``/stream`` sends a line and then waits for it;
``/until-gone`` waits until its client has left; ``/block`` computes without awaiting; ``/task-fails`` leaves a task
that raises; ``/worker`` says who serves, and ``/state`` what the lifespan shared; ``/socket`` is a websocket that
echoes.  ``POST /primary`` has the primary run the body, ``POST /leave`` calls ``cluster.worker.disconnect`` with its
arguments.  ``/forks/stand`` keeps the loop from turning until there is the file; ``/forks/pay`` says so; ``/forks/WAY``
forks, lets the child end in that way, and answers with the code of its end.
"""

from __future__ import annotations

import asyncio
import json
import multiprocessing
import os
import sys
import time
from collections.abc import Awaitable, Callable
from typing import Any

from nodecluster_compat import cluster, process

Event = dict[str, Any]
Receive = Callable[[], Awaitable[Event]]
Send = Callable[[Event], Awaitable[None]]

this: Any = None  # gunicorn's worker object, where the configuration says so


def say(**facts: Any) -> None:
    os.write(1, json.dumps(facts).encode() + b"\n")


@process.on("disconnecting")
async def goodbye(seconds: float | None) -> None:
    await asyncio.sleep(0)
    say(told="process", seconds=seconds)


if cluster.worker is not None:
    cluster.worker.on("disconnecting", lambda seconds: say(told="worker", seconds=seconds))


def stand() -> None:
    """Keep the loop from turning until there is the file ``release``."""
    say(told="standing")
    while not os.path.exists("release"):
        time.sleep(0.02)


async def stand_in_a_coroutine() -> None:
    stand()


def stand_in_a_function() -> None:
    stand()


@process.on("message")
def at_once(message: Any, _: object) -> None:
    if message == {"number": "stand in a function"}:
        stand_in_a_function()


@process.on("message")
async def in_order(message: Any, _: object) -> None:
    if message == {"number": "stand in a coroutine"}:
        await stand_in_a_coroutine()
    elif isinstance(message, dict) and isinstance(message.get("number"), int):
        await asyncio.sleep(0.001 if message["number"] % 2 else 0)
        say(got=message["number"])
        if message.get("last"):
            process.send({"done": message["number"]})


async def fork(way: str) -> bytes:
    pid = os.fork()
    if pid:
        return str(os.waitstatus_to_exitcode(os.waitpid(pid, 0)[1])).encode()
    if way == "raises":
        raise ValueError("in the child")
    if way == "exits":
        sys.exit(5)
    if way == "awaits":
        await asyncio.sleep(0)
    return b"a second answer"


async def forks(what: str) -> bytes:
    if what == "stand":
        stand()
    elif what == "pay":
        say(told="paid")
    else:
        return await fork(what)
    return b"ok"


async def until_released() -> None:
    while not os.path.exists("release"):
        await asyncio.sleep(0.02)


async def lifespan(scope: Event, receive: Receive, send: Send) -> None:
    while True:
        message = await receive()
        if message["type"] == "lifespan.startup":
            wish = os.environ.get("LIFESPAN", "")
            if os.path.exists("lifespan"):
                with open("lifespan") as file:
                    wish = file.read()
            say(told="startup", wish=wish)
            if wish == "fails":
                await send({"type": "lifespan.startup.failed", "message": "no database"})
                return
            if wish == "hangs":
                await asyncio.Event().wait()
            if wish == "raises":
                raise RuntimeError("knows no lifespan")
            scope["state"]["begun"] = "yes"
            await send({"type": "lifespan.startup.complete"})
        else:
            say(told="shutdown")
            await send({"type": "lifespan.shutdown.complete"})
            return


async def body_of(receive: Receive) -> bytes:
    body = b""
    while True:
        event = await receive()
        body += event.get("body", b"")
        if not event.get("more_body"):
            return body


async def answer(send: Send, body: bytes, status: int = 200) -> None:
    headers = [(b"content-length", str(len(body)).encode()), (b"content-type", b"text/plain")]
    await send({"type": "http.response.start", "status": status, "headers": headers})
    await send({"type": "http.response.body", "body": body})


async def stream(send: Send) -> None:
    await send({"type": "http.response.start", "status": 200, "headers": [(b"content-type", b"text/event-stream")]})
    await send({"type": "http.response.body", "body": b"first\n", "more_body": True})
    try:
        await until_released()
    except asyncio.CancelledError:
        say(told="cut")
        raise
    await send({"type": "http.response.body", "body": b"last\n"})


async def websocket(receive: Receive, send: Send) -> None:
    await receive()
    await send({"type": "websocket.accept"})
    while True:
        event = await receive()
        if event["type"] == "websocket.disconnect":
            say(told="closed", code=event["code"])
            return
        await send({"type": "websocket.send", "text": event["text"]})


async def until_gone(receive: Receive, send: Send) -> None:
    say(told="waits")
    while (await receive())["type"] != "http.disconnect":
        pass
    say(told="gone")
    await answer(send, b"nobody reads this")


async def fail() -> None:
    raise LookupError("nobody holds this task")


def plain() -> None:
    pass


def block(seconds: float) -> None:
    say(told="blocking")
    limit = time.monotonic() + seconds
    while time.monotonic() < limit:
        pass


async def get(path: str, scope: Event, send: Send) -> None:
    if path == "/held":
        say(told="held")
        await until_released()
    elif path == "/block":
        block(60)
    elif path == "/task-fails":
        asyncio.get_running_loop().create_task(fail())
        await asyncio.sleep(0)
    elif path == "/exit":
        process.exit(7)
    elif path == "/raises":
        raise LookupError("as asked")
    elif path == "/plain":
        plain()
    elif path == "/pid":
        await answer(send, str(os.getpid()).encode())
        return
    elif path == "/scope":
        facts = {name: scope[name] for name in ("client", "server", "scheme", "http_version")}
        await answer(send, json.dumps(facts, default=repr).encode())
        return
    elif path == "/worker":
        assert cluster.worker is not None
        await answer(send, str(cluster.worker.id).encode())
        return
    elif path == "/state":
        await answer(send, scope["state"].get("begun", "no").encode())
        return
    await answer(send, b"ok")


async def app(scope: Event, receive: Receive, send: Send) -> None:
    if scope["type"] == "lifespan":
        await lifespan(scope, receive, send)
    elif scope["type"] == "websocket":
        await websocket(receive, send)
    elif scope["path"] == "/stream":
        await stream(send)
    elif scope["path"] == "/until-gone":
        await until_gone(receive, send)
    elif scope["path"].startswith("/forks/"):
        await answer(send, await forks(scope["path"].removeprefix("/forks/")))
    elif scope["method"] == "POST":
        assert cluster.worker is not None
        body = (await body_of(receive)).decode()
        if scope["path"] == "/leave":
            cluster.worker.disconnect(**json.loads(body))
        elif scope["path"] == "/primary":
            process.send({"remote": "run", "target": None, "source": body, "reply": False})
        await answer(send, b"ok")
    else:
        await get(scope["path"], scope, send)


# --- what tests run in a worker ------------------------------------------------------------------


def ask_on_the_loop() -> None:
    process.request("anything")


async def flood(senders: int, count: int) -> None:
    """As many senders in tasks as in threads."""

    async def in_task(sender: int) -> None:
        for number in range(count):
            await process.send_async({"sender": f"task {sender}", "number": number})

    def in_thread(sender: int) -> None:
        for number in range(count):
            process.send({"sender": f"thread {sender}", "number": number})

    await asyncio.gather(
        *(in_task(sender) for sender in range(senders)),
        *(asyncio.to_thread(in_thread, sender) for sender in range(senders)),
    )


async def cancel_sends(count: int) -> int:
    sends = [asyncio.create_task(process.send_async({"cancelled": number})) for number in range(count)]
    await asyncio.sleep(0)
    for send in sends:
        send.cancel()
    outcomes = await asyncio.gather(*sends, return_exceptions=True)
    return sum(isinstance(outcome, asyncio.CancelledError) for outcome in outcomes)


async def exit_in_task() -> None:
    process.exit(7)


async def exit_in_thread() -> None:
    await asyncio.to_thread(process.exit, 7)


def count_of_connections() -> int:
    return len(this.connections)


def loop_of_worker() -> str:
    return type(asyncio.get_running_loop()).__module__


async def from_primary(message: Any) -> Any:
    return await process.request_async(message, timeout=20)


async def fork_and_stay() -> int:
    """In a thread, as a ``def`` endpoint does."""
    process = multiprocessing.get_context("fork").Process(target=time.sleep, args=(60,))
    await asyncio.to_thread(process.start)
    assert process.pid is not None
    return process.pid
