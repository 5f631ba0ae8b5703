"""Deliver the messages of the primary in a worker: one after another, in order, by one deliverer.

A handler may block: later messages wait for it, requests do not.  Messages that arrive before the first ``message``
listener are kept and delivered in order (difference D7: Node loses them).  When handlers are slow, reading pauses, so
that the primary's ``send`` feels it and this process does not grow.

Who runs what at once depends on the kind of worker, so the deliverer says how the next message is taken and told: in a
greenlet, in a thread, in a task that awaits what handlers return.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import AbstractContextManager, nullcontext
from typing import TYPE_CHECKING, Any, Final, Protocol

from ..base.emitter import Emitter
from ..base.handlers import Handlers
from ..base.log import Log
from ..base.native import Choice
from ..messages.arrived import ArrivedMessages
from ..messages.frames import Frame, FrameKind
from ..messages.line import Line

__all__ = ["Deliverer", "Inbox"]

_MOST_WAITING: Final = 256  # messages that wait for a slow handler; then reading pauses
_MOST_BYTES: Final = 1024 * 1024


if TYPE_CHECKING:

    class Deliverer(Protocol):
        """The kind of worker around an inbox, as the inbox needs it."""

        @property
        def lock(self) -> AbstractContextManager[object]:
            """Held while the line is used; see :class:`~nodecluster_compat.roles.worker_runtime.Runtime`."""

        def deliver(self, take: Callable[[], Frame | None], tell: Callable[[Frame], None]) -> None:
            """Tell one frame after another, beside requests, until ``take`` returns ``None``; telling may block."""

        def call_soon(self, callback: Callable[..., None], *args: object) -> None:
            """Call back on a later turn."""


class Inbox:
    """The messages that have come to this worker.

    Args:
        line: to the primary.
        emitters: who emit ``message``, in this order: ``cluster.worker``, ``process``.
        log: told of messages that are dropped.
    """

    __slots__ = ("_arrived", "_deliverer", "_emitters", "_is_delivering", "_is_paused", "_line", "_twin")

    def __init__(self, line: Line, emitters: tuple[Emitter, Emitter], log: Log) -> None:
        self._line = line
        self._emitters = emitters
        self._arrived = ArrivedMessages("the primary", log)
        self._deliverer: Deliverer | None = None
        self._is_delivering = False
        self._is_paused = False
        self._twin: Any = None  # of C's, where one thread runs all
        for emitter in emitters:
            emitter.on("new_listener", self._listener_added)

    def attach(self, deliverer: Deliverer) -> None:
        """Deliver by ``deliverer`` from now on."""
        self._deliverer = deliverer

    def quickly(self, table: Handlers[Any, Frame], choice: Choice) -> Any:  # noqa: ANN401 - the extension has no types
        """Return what is offered each message before :meth:`received`; ``None``: it is Python's.

        Args:
            table: whose handler of messages it stands in for, as long as that is there.
            choice: what is in force.
        """
        if choice.module is None or self._deliverer is None or not isinstance(self._deliverer.lock, nullcontext):
            return None
        self._twin = choice.module.Inbox(
            inbox=self,
            table=table.by_kind,
            kind=FrameKind.MESSAGE,
            handler=table.by_kind[FrameKind.MESSAGE],
            line=self._line,
            arrived=self._arrived,
            queue=self._arrived.frames,
            this_worker=self._emitters[0],
            process=self._emitters[1],
            frame=Frame,
            most_frames=_MOST_WAITING,
            most_bytes=_MOST_BYTES,
        )
        return self._twin

    def abandon(self) -> None:
        """In a process that this worker forked: what has come is not for it."""
        self._arrived.clear()

    def received(self, _: object, frame: Frame) -> None:
        """A message has come: deliver or keep it."""
        if not self._has_listener():
            self._arrived.keep(frame)
            return
        self._arrived.add(frame)
        arrived = self._arrived
        if len(arrived.frames) >= _MOST_WAITING or arrived.bytes_waiting >= _MOST_BYTES:
            self.pause()

    def pause(self) -> None:
        """So much waits that the primary is to feel it."""
        if not self._is_paused:
            self._is_paused = True
            self._line.pause_reading()

    def received_with_handle(self, worker: object, frame: Frame) -> None:
        """A message has come that goes with a descriptor; one that did not arrive is asked for again."""
        if self._line.confirm(frame):
            self.received(worker, frame)

    def slice_ended(self) -> None:
        """All that has come together was received: deliver it."""
        if self._arrived.frames and not self._is_delivering:
            self._wake_deliverer()

    def _listener_added(self, event: str, _: Callable[..., object]) -> None:
        if event == "message" and self._deliverer is not None:
            self._deliverer.call_soon(self._look_again)

    def _look_again(self) -> None:
        assert self._deliverer is not None
        with self._deliverer.lock:
            self._wake_deliverer()

    def _has_listener(self) -> bool:
        this_worker, process = self._emitters  # unrolled, because this is asked for each message
        return bool(this_worker.listener_count("message") or process.listener_count("message"))

    def _wake_deliverer(self) -> None:
        if not self._is_delivering and self._arrived.frames and self._deliverer is not None and self._has_listener():
            self._is_delivering = True
            teller = self if self._twin is None else self._twin
            self._deliverer.deliver(teller.take, teller.tell)

    def take(self) -> Frame | None:
        """Return the next message, ``None`` when there is none to deliver: in one step with what comes meanwhile."""
        assert self._deliverer is not None
        with self._deliverer.lock:
            if self._is_paused and not self._arrived.frames:
                self._is_paused = False
                self._line.resume_reading()
            frame = self._arrived.take() if self._arrived.frames and self._has_listener() else None
            self._is_delivering = frame is not None
            return frame

    def tell(self, frame: Frame) -> None:
        """Tell a message to the handlers of this worker and of its process."""
        is_told = False
        try:
            message, handle = self._line.open(frame)
            for emitter in self._emitters:
                emitter.emit("message", message, handle)
            is_told = True
        finally:
            self._is_delivering = is_told  # what ends the deliverer does not end deliveries
