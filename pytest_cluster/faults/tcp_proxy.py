"""Simulate a bad network between clients and a server: a TCP proxy on a thread of its own."""

from __future__ import annotations

import asyncio
import contextlib
import socket
import struct
import threading
from collections.abc import Coroutine
from typing import Any

from .network_plan import Conditions, Course

__all__ = ["TCPProxy"]

READ_BYTES = 65536
MOST_WAITING = 64
"""Pieces that are under way on one direction of a connection; then its sender waits."""
SILENT_SECONDS = 0.02
"""After which to look again whether anything gets through."""
RESET = struct.pack("ii", 1, 0)
"""Of ``SO_LINGER``: to close is to reset."""


class TCPProxy:
    """A proxy on a free port of 127.0.0.1, until :meth:`close`.

    :param goal: where it leads: a host and a port, or the path of a unix socket.
    :param conditions: how the network is at first.
    :raises OSError: there is no port for it, or no descriptor.
    """

    def __init__(self, goal: tuple[str, int] | str, conditions: Conditions) -> None:
        self.conditions = conditions
        self.connections: int = 0
        self._goal = goal
        self._listener = socket.create_server(("127.0.0.1", 0))
        self.address: tuple[str, int] = self._listener.getsockname()
        try:
            self._loop = asyncio.new_event_loop()
        except BaseException:
            self._listener.close()
            raise
        self._writers: set[asyncio.StreamWriter] = set()
        self._tasks: set[asyncio.Task[None]] = set()
        self._ended: asyncio.Event
        started = threading.Event()
        self._thread = threading.Thread(target=self._run, args=(started,), name="cluster-network", daemon=True)
        self._thread.start()
        started.wait()

    def cut(self) -> None:
        """Reset all connections that there are."""
        self._loop.call_soon_threadsafe(self._cut)

    def close(self) -> None:
        """Reset all connections, and accept no more."""
        self._loop.call_soon_threadsafe(self._ended.set)
        self._thread.join()

    def _run(self, started: threading.Event) -> None:
        try:
            self._loop.run_until_complete(self._main(started))
        finally:
            self._loop.close()

    async def _main(self, started: threading.Event) -> None:
        self._ended = asyncio.Event()
        server = await asyncio.start_server(self._serve, sock=self._listener)
        started.set()
        await self._ended.wait()
        server.close()
        self._cut()
        for task in (everyone := list(self._tasks)):
            task.cancel()
        await asyncio.gather(*everyone, return_exceptions=True)
        await asyncio.sleep(0)  # transports close on the next turn

    def _cut(self) -> None:
        for writer in list(self._writers):
            _reset(writer)

    async def _serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        task = asyncio.current_task()
        assert task is not None
        self._tasks.add(task)
        self._writers.add(writer)
        self.connections += 1
        try:
            await self._lead(reader, writer, self.connections)
        except OSError:
            _reset(writer)
        except asyncio.CancelledError:
            pass  # it is over
        finally:
            self._tasks.discard(task)
            self._writers.discard(writer)
            writer.close()

    async def _lead(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, number: int) -> None:
        out, back = (Course(self.conditions.seed, number, name) for name in ("out", "back"))
        if out.is_refused(self.conditions):
            _reset(writer)
            return
        if isinstance(self._goal, str):
            from_goal, to_goal = await asyncio.open_unix_connection(self._goal)
        else:
            from_goal, to_goal = await asyncio.open_connection(*self._goal)
        self._writers.add(to_goal)
        try:
            await _all(self._carry(reader, to_goal, out), self._carry(from_goal, writer, back, answers=True))
        except OSError:
            _reset(to_goal)
            raise
        finally:
            self._writers.discard(to_goal)
            to_goal.close()

    async def _carry(
        self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter, course: Course, *, answers: bool = False
    ) -> None:
        """Carry what comes from one side to the other, as late as it is to be."""
        waiting: asyncio.Queue[tuple[float, bytes]] = asyncio.Queue(MOST_WAITING)
        await _all(self._read(reader, waiting, course), self._write(writer, waiting, answers=answers))

    async def _read(
        self, reader: asyncio.StreamReader, waiting: asyncio.Queue[tuple[float, bytes]], course: Course
    ) -> None:
        due = 0.0
        data = b"more"
        while data:
            data = await reader.read(READ_BYTES)
            while self.conditions.silent:  # noqa: ASYNC110 - another thread changes it
                await asyncio.sleep(SILENT_SECONDS)
            due = max(due, self._loop.time() + course.lateness(len(data), self.conditions))
            await waiting.put((due, data))

    async def _write(
        self, writer: asyncio.StreamWriter, waiting: asyncio.Queue[tuple[float, bytes]], *, answers: bool
    ) -> None:
        written = 0
        while True:
            due, data = await waiting.get()
            await asyncio.sleep(max(0.0, due - self._loop.time()))
            if not data:
                if writer.can_write_eof():
                    writer.write_eof()
                return
            cut_after = self.conditions.cut_after if answers else None
            if cut_after is not None and written + len(data) > cut_after:
                writer.write(data[: cut_after - written])
                await writer.drain()
                raise ConnectionResetError
            writer.write(data)
            await writer.drain()
            written += len(data)


async def _all(*parts: Coroutine[Any, Any, None]) -> None:
    """Run all of them at once; when one fails, the others end, too."""
    tasks = [asyncio.ensure_future(part) for part in parts]
    try:
        await asyncio.gather(*tasks)
    finally:
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)


def _reset(writer: asyncio.StreamWriter) -> None:
    sock = writer.get_extra_info("socket")
    with contextlib.suppress(OSError, AttributeError):  # it is closed already
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, RESET)
    writer.transport.abort()
