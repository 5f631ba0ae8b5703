"""Deliver the messages of workers to handlers in the primary.

Those that come before the first ``message`` listener are kept, up to a bound, and delivered in order when there is one
(difference D7).  A message that cannot be decoded closes its worker's channel, whenever that is found out.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

from ..base.emitter import Emitter
from ..base.handlers import Handlers
from ..base.log import Log
from ..base.native import Choice
from ..errors import FrameError
from ..lifecycle.registry import Registry
from ..messages.frames import Frame, FrameKind
from .worker_handle import WorkerHandle

if TYPE_CHECKING:
    from ..base.loop import Loop

__all__ = ["Deliveries"]


class Deliveries:
    """Delivers the messages of all workers, those of each in order.

    Args:
        registry: the workers.
        loop: the primary's.
        events: the emitter of ``cluster``.
        log: told of a channel that is closed for what came on it.
        serves: whether this process can have servers; where not, one arrives as its plain socket.

    Attributes:
        received_tap: told of each frame, before anybody else.
    """

    __slots__ = ("_events", "_log", "_loop", "_registry", "_serves", "received_tap")

    def __init__(
        self, registry: Registry[WorkerHandle], loop: Loop, events: Emitter, log: Log, serves: Callable[[], bool]
    ) -> None:
        self.received_tap: Callable[[WorkerHandle, Frame], None] | None = None
        self._registry = registry
        self._loop = loop
        self._events = events
        self._log = log
        self._serves = serves
        self.watch(events)

    def watch(self, emitter: Emitter) -> None:
        """Deliver what was kept when ``emitter`` gets a listener."""
        emitter.on("new_listener", self._listener_added)

    def received(self, worker: WorkerHandle, frame: Frame) -> None:
        """Deliver or keep a message of ``worker``."""
        if self.received_tap is not None:
            self.received_tap(worker, frame)
        if worker.early_messages.frames or not self._has_message_listener(worker):
            worker.early_messages.keep(frame)
        else:
            self._deliver(worker, frame)

    def quickly(self, worker: WorkerHandle, table: Handlers[WorkerHandle, Frame], choice: Choice) -> Any:  # noqa: ANN401
        """Return what is offered each message of a worker before :meth:`received`; ``None``: it is Python's.

        Args:
            worker: has all that it needs.
            table: whose handler of messages it stands in for, as long as that is there.
            choice: what is in force.
        """
        if choice.module is None:
            return None
        return choice.module.Delivery(
            deliveries=self,
            table=table.by_kind,
            kind=FrameKind.MESSAGE,
            handler=table.by_kind[FrameKind.MESSAGE],
            line=worker.line,
            early=worker.early_messages.frames,
            events=self._events,
            worker=worker,
            process=worker.process,
        )

    def received_with_handle(self, worker: WorkerHandle, frame: Frame) -> None:
        """Deliver or keep a message; one whose descriptor did not arrive is asked for again."""
        if self.received_tap is not None:
            self.received_tap(worker, frame)
        if worker.line.confirm(frame):
            if worker.early_messages.frames or not self._has_message_listener(worker):
                worker.early_messages.keep(frame)
            else:
                self._deliver(worker, frame)

    def _deliver(self, worker: WorkerHandle, frame: Frame) -> None:
        message, handle = worker.line.open(frame, self._serves)
        self._events.emit("message", worker, message, handle)
        worker.emit("message", message, handle)
        worker.process.emit("message", message, handle)

    def _has_message_listener(self, worker: WorkerHandle) -> bool:
        return bool(
            self._events.listener_count("message")
            or worker.listener_count("message")
            or worker.process.listener_count("message")
        )

    def _listener_added(self, event: str, _: Callable[..., object]) -> None:
        if event == "message":
            self._loop.call_soon(self._deliver_early_messages)
        elif event == "request":
            self._loop.call_soon(self._deliver_early_requests)

    def _deliver_early_requests(self) -> None:
        for worker in list(self._registry.by_id.values()):
            worker.requests.listener_added()

    def _deliver_early_messages(self) -> None:
        for worker in list(self._registry.by_id.values()):
            if self._has_message_listener(worker):
                self._deliver_kept(worker)

    def _deliver_kept(self, worker: WorkerHandle) -> None:
        try:
            while (frame := worker.early_messages.take()) is not None:
                self._deliver(worker, frame)
        except FrameError as error:
            self._log.error("The channel of worker %s is closed: %s", worker.id, error)
            worker.line.close()
