"""Requests of ASGI connections are counted once, whenever they end, and ended when they are late."""

from __future__ import annotations

import asyncio
import logging
import socket
import sys
from collections.abc import Awaitable, Callable, Iterator
from typing import Any

import pytest
from gunicorn import version_info
from gunicorn.config import Config

from nodecluster_compat.asyncio_runtime.idle_connections import IdleConnections
from nodecluster_compat.asyncio_runtime.opening import Opener
from nodecluster_compat.operations.metrics import this_meter
from nodecluster_compat.operations.metrics.request_meter import RequestMeter

if version_info < (27, 0, 1):
    pytest.skip("ours needs a newer gunicorn", allow_module_level=True)

from nodecluster_compat._gunicorn.worker.asgi.late_requests import LateTasks
from nodecluster_compat._gunicorn.worker.asgi.protocol import FedProtocol, SeenWorker

Send = Callable[[Any], Awaitable[None]]
ENDS: list[socket.socket] = []
GET = b"GET /%b HTTP/1.1\r\nHost: a\r\n\r\n"


class Meter(RequestMeter):
    """Notes what it is told."""

    def __init__(self) -> None:
        super().__init__()
        self.slots: list[str] = []
        self.given = 0
        self.ended: list[tuple[str, object, int]] = []
        count = self.end
        self.end = lambda *told: (self.ended.append(told[2:]), count(*told))[1]  # type: ignore[assignment]

    def slot(self, client: str, ident: int = 0) -> int:
        self.slots.append(client)
        return super().slot(client, ident)

    def give(self, slot: int) -> None:
        self.given += slot >= 0
        super().give(slot)


class Rig:
    """A worker with one connection."""

    def __init__(self, application: Any, seconds: float = 0) -> None:
        self.loop = asyncio.get_running_loop()
        self.meter = Meter()
        this_meter.use_meter(self.meter)
        self.cfg, self.asgi, self.state, self.nr = Config(), application, dict[str, Any](), 0
        self.log: Any = logging.getLogger("test")
        self.log.access_log_enabled = False
        self.late: list[str] = []
        self.limits = LateTasks(seconds, self.loop, lambda request, *_: self.late.append(request))
        self.has_ended = self.loop.create_future()
        alive, ending = (SeenWorker(self, alive=is_alive) for is_alive in (True, False))
        idle = IdleConnections(self.loop.call_later, 5)
        self.protocol = FedProtocol(alive, ending, idle, self.has_ended.set_result)
        near, self.far = socket.socketpair()
        ENDS.append(self.far)
        self.far.settimeout(20)
        Opener(self.loop, None, 0).open(near.family, near.detach(), self.protocol, self.has_ended.set_exception)

    last = sys.maxsize  # requests

    def ends_connection(self) -> bool:
        return self.nr + 1 >= self.last

    def count_request(self) -> None:
        self.nr += 1

    async def ask(self, path: bytes, last: bytes = b"") -> bytes:
        """Send a request; return its answer, as far as ``last``, or what comes first of it."""
        await asyncio.to_thread(self.far.sendall, GET % path)
        answered = await asyncio.to_thread(self.far.recv, 65536)
        while last not in answered:
            answered += await asyncio.to_thread(self.far.recv, 65536)
        return answered

    async def leave(self) -> None:
        self.far.close()
        await asyncio.wait_for(self.has_ended, 20)


@pytest.fixture(autouse=True)
def own_meter() -> Iterator[None]:
    before = this_meter._ThisProcess.meter
    yield
    this_meter._ThisProcess.meter = before
    while ENDS:
        ENDS.pop().close()


async def answer(send: Send, *parts: bytes, status: int = 200) -> None:
    size = str(sum(map(len, parts))).encode()
    await send({"type": "http.response.start", "status": status, "headers": [(b"content-length", size)]})
    for number, part in enumerate(parts, 1):
        await send({"type": "http.response.body", "body": part, "more_body": number < len(parts)})


async def until(condition: Callable[[], object]) -> None:
    async def turn() -> None:
        while not condition():
            await asyncio.sleep(0)

    await asyncio.wait_for(turn(), 20)


def test_requests_of_a_connection_share_its_slot() -> None:
    """Which it gives back when it ends, and each counts once."""

    async def application(_: Any, __: Any, send: Send) -> None:
        await answer(send, b"abc", b"de")

    async def run() -> None:
        rig = Rig(application)
        for number in range(3):
            await rig.ask(b"%d" % number, b"abcde")
        await rig.leave()
        assert rig.meter.slots == [""]
        assert rig.meter.ended == [("GET", 200, 5)] * 3
        assert rig.meter.given == 1
        assert rig.nr == 3

    asyncio.run(run())


@pytest.mark.parametrize("parts", [(b"abc",), (b"",), (b"abc", b"")])
def test_request_has_ended_with_its_answer_although_the_application_goes_on(parts: tuple[bytes, ...]) -> None:
    """What it does then is no request any more, and the next one is served meanwhile."""
    goes_on = asyncio.Event()
    seen: list[list[Any]] = []

    async def application(scope: Any, __: Any, send: Send) -> None:
        await answer(send, *parts)
        seen.append(list(rigs[0].meter.ended))
        if scope["path"] == "/first":
            await goes_on.wait()

    async def run() -> None:
        rig = Rig(application)
        rigs.append(rig)
        await rig.ask(b"first")
        await rig.ask(b"second")
        goes_on.set()
        await rig.leave()
        sent = sum(map(len, parts))
        assert seen == [[("GET", 200, sent)], [("GET", 200, sent)] * 2]
        assert rig.meter.ended == seen[1]
        assert rig.meter.in_flight() == []

    rigs: list[Rig] = []
    asyncio.run(run())


def test_application_that_fails_or_does_not_answer_is_counted_as_what_it_is() -> None:
    async def application(scope: Any, __: Any, send: Send) -> None:
        if scope["path"] == "/raises":
            raise ValueError
        if scope["path"] == "/breaks":
            await send({"type": "http.response.start", "status": 201, "headers": []})
            raise ValueError

    async def run() -> list[Any]:
        ended = []
        for path in (b"raises", b"breaks", b"nothing"):
            rig = Rig(application)
            await rig.ask(path)
            await rig.leave()
            ended += rig.meter.ended
        return ended

    assert asyncio.run(run()) == [("GET", 500, 0), ("GET", 201, 0), ("GET", None, 0)]


def test_who_looks_learns_which_task_serves_a_request() -> None:
    """By the number in its name, which stacks show as well."""

    async def application(_: Any, __: Any, send: Send) -> None:
        numbers.append(int(asyncio.current_task().get_name().removeprefix("Task-")))  # type: ignore[union-attr]
        await goes_on.wait()
        await answer(send, b"done")

    async def run() -> None:
        rig = Rig(application)
        rig.far.sendall(GET % b"slow")
        await until(rig.meter.in_flight)
        rig.protocol.name_task()
        assert rig.meter.in_flight_by_ident() == {numbers[0]: "GET /slow"}
        goes_on.set()
        await asyncio.to_thread(rig.far.recv, 65536)
        rig.protocol.name_task()
        await rig.leave()

    numbers: list[int] = []
    goes_on = asyncio.Event()
    asyncio.run(run())


def test_client_that_leaves_ends_its_request() -> None:
    async def application(_: Any, receive: Any, __: Send) -> None:
        while (await receive())["type"] != "http.disconnect":
            pass

    async def run() -> None:
        rig = Rig(application)
        rig.far.sendall(GET % b"")
        await until(rig.meter.in_flight)
        await rig.leave()
        assert rig.meter.ended == [("GET", None, 0)]
        assert rig.meter.in_flight() == []

    asyncio.run(run())


def test_late_request_is_cancelled_and_its_connection_goes_on() -> None:
    """One that ends after its answer is nobody's business."""

    async def application(scope: Any, __: Any, send: Send) -> None:
        if scope["path"] == "/behind":
            await answer(send, b"in time")
        await asyncio.sleep(0 if scope["path"] == "/quick" else 30)
        await answer(send, b"in time")

    async def run() -> None:
        rig = Rig(application, 0.02)
        assert (await rig.ask(b"behind")).endswith(b"in time")
        assert (await rig.ask(b"late")).startswith(b"HTTP/1.1 503 ")
        assert (await rig.ask(b"quick")).endswith(b"in time")
        assert rig.late == ["GET /late"]
        rig.protocol.cut()
        await rig.leave()
        assert [status for _, status, _ in rig.meter.ended] == [200, 503, 200]

    asyncio.run(run())


def test_request_limits_itself_and_no_other() -> None:
    """Also one that is served by the same connection, while the first goes on behind its answer."""
    limited: list[bool] = []

    async def application(scope: Any, __: Any, send: Send) -> None:
        if scope["path"] == "/first":
            await answer(send, b"first")
            await asyncio.sleep(0)
            await until(rigs[0].meter.in_flight)
            limited.append(rigs[0].limits.limit(0.001))
            asked.set()
        else:
            await asked.wait()
            limited.append(rigs[0].limits.limit(0.001))
            await asyncio.sleep(30)

    async def run() -> None:
        rig = Rig(application)
        rigs.append(rig)
        await rig.ask(b"first")
        assert (await rig.ask(b"second")).startswith(b"HTTP/1.1 503 ")
        await rig.leave()
        assert limited == [False, True]
        assert rig.late == ["GET /second"]

    rigs: list[Rig] = []
    asked = asyncio.Event()
    asyncio.run(run())


def test_request_counts_when_the_worker_decides_whether_it_is_the_last() -> None:
    """Each request is decided once, and the decision stands when it has been answered."""

    async def application(_: Any, __: Any, send: Send) -> None:
        await answer(send, b"last" if rigs[0].nr else b"more")

    async def run() -> None:
        rig = Rig(application)
        rigs.append(rig)
        rig.last = 2
        assert b"Connection: close" not in await rig.ask(b"")
        answered = await rig.ask(b"")
        assert b"Connection: close" in answered
        await asyncio.wait_for(rig.has_ended, 20)
        rig.far.close()
        assert rig.nr == 2

    rigs: list[Rig] = []
    asyncio.run(run())
