"""Send messages and requests from a worker to its primary, and tell its program what the primary asks.

They go over the line (``worker_line.py``); waiting is done as the kind of worker does it (``worker_runtime.py``).
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import nullcontext
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.arity import checked_callback
from ..base.handler_calls import current_origin, run_guarded
from ..base.log import Log
from ..base.records import Handle, Message
from ..errors import ClusterError, NotInCluster
from ..messages.channel import SendCallback
from ..messages.frames import FrameKind
from ..messages.serialization import Serializer
from .answers import Replied, awaited, waited
from .process import Process
from .requests import Reply, Requests, checked_request_timeout
from .sending import SendOptions, sent_as
from .worker_line import ConnectedWorker

if TYPE_CHECKING:
    import _socket

    from .worker_runtime import Runtime

__all__ = ["MessagingWorker"]


class MessagingWorker(ConnectedWorker):
    """The half of a worker that a program's messages pass through; the other is ``this_worker.ClusterWorker``."""

    def __init__(
        self,
        worker_id: int,
        sock: _socket.socket,
        process: Process,
        log: Log,
        serializer: Serializer,
        max_message_bytes: int,
    ) -> None:
        super().__init__(worker_id, sock, process, log, serializer, max_message_bytes)
        self.post: Callable[[Message], bool | bytes | None] | None = None  # in C; only where no lock is needed
        self.requests = Requests(self._line, "the primary", self.tell_request, self.hears_requests)
        self.when_closed.append(self.requests.closed)
        self.frames.on(FrameKind.REQUEST, lambda _, frame: self.requests.asked(frame))
        self.frames.on(FrameKind.REPLY, lambda _, frame: self.requests.replied(frame))
        for emitter in (self, process):
            emitter.on("new_listener", self._listener_added)

    def _attach_line(self, runtime: Runtime) -> None:
        self.requests.lock = runtime.lock
        if isinstance(runtime.lock, nullcontext):
            self.post = self._line.send_quickly
        super()._attach_line(runtime)

    # --- what users ask ------------------------------------------------------------------------

    def send(
        self,
        message: Message,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message to the primary; see :meth:`nodecluster_compat.messages.line.Line.send`.

        As in Node the callback may follow any argument, and ``options`` may be ``{"keepOpen": True}``.
        An error that no ``callback`` is there to hear comes as ``error`` event, or is logged.
        """
        payload = None
        if handle is None and options is None and callback is None and self.post is not None:
            sent = self.post(message)
            if isinstance(sent, bool):
                return sent
            payload = sent
        return self.send_encoded(message, payload, handle, options, callback, keep_open=keep_open)

    def send_encoded(
        self,
        message: Message,
        payload: bytes | None,
        handle: Handle | Callable[..., Any] = None,
        options: SendOptions = None,
        callback: SendCallback | None = None,
        *,
        keep_open: bool = False,
    ) -> bool:
        """Send a message whose payload may have been made already, as :meth:`send` does."""
        passed, keep_open, told = sent_as(handle, options, callback, keep_open)
        errors: list[ClusterError] = []  # told when the lock is free: handlers may wait
        with self._line_lock:
            is_taken = self._line.send(message, passed, keep_open, told, errors.append, payload)
        for error in errors:
            self._report(error)
        return is_taken

    async def send_async(self, message: Message, handle: Handle = None, *, keep_open: bool = False) -> None:
        """Send a message to the primary, and go on when it was written: a sender that awaits cannot send too fast.

        A task that is cancelled meanwhile has sent the message all the same, whole and in its place.

        Args:
            message: anything that a message can be.
            handle: see :meth:`send`.
            keep_open: see :meth:`send`.

        Raises:
            ChannelClosed, ChannelFull: it was not sent.
            MessageNotSerializable, MessageTooLarge, HandleNotPassable: nothing was sent.
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            NotInCluster: this worker does not run yet.
        """
        runtime = self._running_runtime("send_async()")
        await awaited(
            runtime.waiting,
            lambda done: self.send(message, handle, callback=lambda error: done(error, None), keep_open=keep_open),
        )

    async def request_async(self, message: Message, *, timeout: float | None = 30.0) -> Message:
        """Ask the primary, and return what it replies; :meth:`request` for tasks.

        Raises:
            WouldBlock: this worker has no event loop (only ``ASGIWorker`` has one).
            ClusterError: as :meth:`request`.
        """
        seconds = checked_request_timeout(timeout)
        runtime = self._running_runtime("request_async()")
        return await awaited(runtime.waiting, lambda done: self._ask(message, seconds, done, runtime))

    def _running_runtime(self, what: str) -> Runtime:
        if self._runtime is None:
            raise NotInCluster(f"{what} needs a worker that runs, and this one is not up yet")
        return self._runtime

    def request(
        self, message: Message, callback: Callable[..., Any] | None = None, *, timeout: float | None = 30.0
    ) -> Message:
        """Ask the primary, and wait for what it replies (``request`` event there); requests are served meanwhile.

        Args:
            message: anything that a message can be.
            callback: called with ``(error, reply)`` in a greenlet of its own, the error ``None`` if there is a reply;
                then nothing is returned.
            timeout: seconds above 0; ``None``: as long as the channel is open.

        Raises:
            RequestFailed: the primary replied by ``reply.fail(reason)``.
            RequestTimedOut: it did not reply in time.
            ChannelClosed: it has gone.
            WouldBlock: there is no ``callback``, and this code must not wait.
            NotInCluster: this worker does not run yet, or no longer.
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        seconds = checked_request_timeout(timeout)
        call = checked_callback(callback, 2, "the callback of request()")
        runtime = self._running_runtime("request()")
        if call is None:
            return waited(runtime.wait, lambda done: self._ask(message, seconds, done, runtime))
        replied = partial(runtime.call_soon, partial(run_guarded, "request", current_origin(), call))
        self._ask(message, seconds, replied, runtime)
        return None

    def _ask(self, message: Message, seconds: float | None, done: Replied, runtime: Runtime) -> None:
        with self._line_lock:
            self.requests.ask(message, seconds, done, runtime)

    # --- what the primary asks -----------------------------------------------------------------

    def _listener_added(self, event: str, _: object) -> None:
        if event == "request" and self._runtime is not None:
            self._runtime.call_soon(self.requests.listener_added)

    def hears_requests(self) -> bool:
        """Whether anybody listens for ``request``."""
        return bool(self.listener_count("request") or self.process.listener_count("request"))

    def tell_request(self, message: Message, reply: Reply) -> None:
        """Emit ``request``, beside requests of clients."""
        assert self._runtime is not None  # nothing is read before
        self._runtime.spawn(partial(self._tell_asked, message, reply))

    def _tell_asked(self, message: Message, reply: Reply) -> None:
        self.emit("request", message, reply)
        self.process.emit("request", message, reply)

    def _report(self, error: ClusterError) -> None:
        if self.listener_count("error") or self.process.listener_count("error"):
            self.process.emit("error", error)
        else:
            self._log.error("A message to the primary was not sent: %s", error)
