"""Hold a worker's connections: those that are served, those that wait, and how they end."""

from __future__ import annotations

import asyncio
from typing import TYPE_CHECKING, Any, Final, TypeVar

from ....asyncio_runtime.idle_connections import IdleConnections
from ....machine.forked_child import keep_from_children
from .protocol import FedProtocol, SeenWorker
from .routed_protocol import RoutedProtocol

if TYPE_CHECKING:
    from collections.abc import Callable, Coroutine

    from .protocol import ServingWorker

__all__ = ["Connections"]

_Held = TypeVar("_Held", bound=FedProtocol)

_GOODBYE_SECONDS: Final = 1.0  # for the close frames of websockets, and for tasks that were cancelled


class Connections:
    """The connections of one worker.

    Args:
        worker: serves them.
        on_end: called when one has ended.
        run: runs the loop until a coroutine has ended.
    """

    def __init__(
        self,
        worker: ServingWorker,
        on_end: Callable[[], None],
        run: Callable[[Coroutine[Any, Any, None]], None],
    ) -> None:
        self._alive = SeenWorker(worker, alive=True)
        self._ending = SeenWorker(worker, alive=False)
        self._loop: asyncio.AbstractEventLoop = worker.loop
        self._on_end = on_end
        self._run = run
        self._all: set[FedProtocol] = set()
        self._emptied: asyncio.Future[None] | None = None
        self.idle = IdleConnections(self._loop.call_later, worker.cfg.keepalive)
        keep_from_children(self)

    def __len__(self) -> int:
        return len(self._all)

    def new(self) -> FedProtocol:
        """Return the protocol of a connection that begins."""
        return self._hold(FedProtocol(self._alive, self._ending, self.idle, self.ended))

    def new_routed(self) -> RoutedProtocol:
        """Return the protocol of one whose requests are routed."""
        return self._hold(RoutedProtocol(self._alive, self._ending, self.idle, self.ended))

    def _hold(self, protocol: _Held) -> _Held:
        self._all.add(protocol)
        return protocol

    def name_tasks(self) -> None:
        """Somebody looks at all stacks: say which task serves each request.  In a signal handler, wherever that is."""
        for protocol in list(self._all):
            protocol.name_task()

    def ended(self, protocol: FedProtocol) -> None:
        """Note that a connection has ended, or could not begin."""
        self._all.discard(protocol)
        if self._emptied is not None and not self._all and not self._emptied.done():
            self._emptied.set_result(None)
        self._on_end()

    def let_go(self) -> None:
        """The process ends: refer to nothing of the application."""
        self._alive.let_go()
        self._ending.let_go()

    def inherited_fds(self) -> list[int]:
        """See :class:`~nodecluster_compat.machine.forked_child.Inherited`."""
        return [protocol.fd for protocol in self._all]

    # --- the drain -----------------------------------------------------------------------------

    def begin_drain(self) -> None:
        """The worker leaves: each connection is told in its own way."""
        for protocol in list(self._all):
            protocol.begin_drain()

    def end_idle(self) -> None:
        """Wait for no further request: idle connections end, the others when they have been answered."""
        self.idle.end()
        for protocol in list(self._all):
            protocol.end_if_idle()

    def end_idle_now(self) -> None:
        """End what is idle without waiting for anything."""
        self.idle.end(linger=0)
        self._run(asyncio.sleep(0))

    def cut(self) -> None:
        """End the rest: websockets by a close frame, others by cancelling what is run for them."""
        self._run(self._cut())

    async def _cut(self) -> None:
        await asyncio.gather(*(protocol.restart_websocket(_GOODBYE_SECONDS) for protocol in self._all))
        for protocol in list(self._all):
            protocol.cut()
        await self._until_none(_GOODBYE_SECONDS)
        for protocol in list(self._all):
            protocol.abort()

    async def _until_none(self, seconds: float) -> None:
        if self._all:
            self._emptied = self._loop.create_future()
            await asyncio.wait([self._emptied], timeout=seconds)
