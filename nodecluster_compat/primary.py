"""The primary: owns the listeners, the channels and the workers' handles, and turns frames into events.

It knows no gunicorn: what only the arbiter can do (start a process, end the server) it asks of its
:class:`Host`.  It runs on one thread, inside the turns of its :class:`~nodecluster_compat.loop.Loop`.

Order is part of the contract (DESIGN §2): for every event but ``message`` the worker's handlers run before
the cluster's; ``disconnect`` before ``exit``, always both; ``fork`` on the turn after the fork.

Nothing that a worker does may stop the primary: a frame that makes no sense closes that worker's channels,
and the worker, which then reads end-of-file, exits; if it does not, it is killed after a grace period.
"""

from __future__ import annotations

import _socket
import signal as signals
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from functools import partial
from typing import Any, Final, Protocol

from .channel import Channel
from .codec import (
    Frame,
    FrameKind,
    decode_address,
    decode_closed,
    decode_request,
    encode_answer,
    encode_disconnect,
    encode_frame,
)
from .connection_channel import OfferingEnd, connection_pair
from .emitter import Emitter, Log, Origin, Registration, current_origin, run_guarded
from .errors import ClusterError, FrameError, IllegalTransition, SettingsError
from .handle_sender import HandleSender
from .handoffs import Handoffs
from .listeners import Listeners
from .loop import Loop, Timer
from .message_queue import MessageQueue
from .messaging import receive_message
from .packets import Packet, PacketKind
from .records import ExitStatus
from .registry import Registry
from .rollout import ReloadReport
from .shared_sockets import SharedSockets
from .status import ClusterStatus
from .worker_handle import WorkerHandle

__all__ = ["ChildEnds", "Forgotten", "Host", "Primary"]

_SECOND_CHANNEL_SECONDS: Final = 0.5
_UNASKED_SECONDS: Final = 2.0  # a worker that lost its channel exits at once; this one does not


class Host(Protocol):
    """What the primary asks of the server around it."""

    def stand_in(self) -> WorkerHandle | None:
        """While an ``exit`` is told of a worker that was replaced: the worker that took its place."""

    def spawn_soon(self, worker: WorkerHandle) -> None:
        """``cluster.fork()`` made this worker: start its process, now or on the next turn.

        Raises:
            SettingsError: no process can be started with these settings.
        """

    def is_dealing(self) -> bool:
        """Whether the primary deals connections, rather than the kernel."""

    def message_limit(self) -> int:
        """Return how many bytes a message of a worker that is made now may have."""

    def is_binding(self) -> bool:
        """Whether the primary binds what its workers ask for, as in script mode."""

    def give_up_requested(self, reason: str) -> None:
        """Those that ``cluster.fork()`` made and that have no process yet never will."""

    def limit_end(self, worker: WorkerHandle, timeout: float | None) -> None:
        """The worker was asked to leave, within so many seconds or the usual limit: see to it that it does."""

    def worker_listens(self, worker: WorkerHandle) -> None:
        """A worker serves a first, or a further, socket."""

    def worker_changed(self) -> None:
        """A worker will end: look again at how many there should be."""

    def reload_soon(self, callback: Callable[[ReloadReport], Any] | None) -> None:
        """``cluster.reload()``: on the next turn, as HUP; call back when it has ended, however it has."""

    def status(self) -> ClusterStatus:
        """Return how the cluster is."""

    def finish(self) -> None:
        """Every worker is gone and ``cluster.disconnect()`` was asked: end the server."""


@dataclass(frozen=True, slots=True)
class ChildEnds:
    """The worker's ends of its two channels, to be kept by the child and closed by the parent."""

    messages: _socket.socket
    connections: _socket.socket

    def close(self) -> None:
        """Close both."""
        self.messages.close()
        self.connections.close()


@dataclass(frozen=True, slots=True)
class Forgotten:
    """Handlers and timers of one origin that were taken out of use."""

    origin: Origin
    handlers: list[tuple[Emitter, list[Registration]]]
    timers: list[tuple[float, int, Timer]]


class Primary:
    """Node's primary.

    Args:
        host: the server around it.
        loop: its event loop.
        events: the emitter of ``cluster``.
        log: where it says what goes wrong.
        grace: seconds that a worker without a channel has left to live.
        queue_limit: bound of the accepted connections that wait, for each listener.
    """

    def __init__(self, host: Host, loop: Loop, events: Emitter, log: Log, grace: float, queue_limit: int) -> None:
        self.loop = loop
        self.registry: Registry[WorkerHandle] = Registry()
        handoffs = Handoffs(self.registry, loop, log, self._join_again)
        self.listeners = Listeners(loop, log, handoffs.deliver, queue_limit)
        self.shared = SharedSockets(self.listeners, host.is_dealing)
        self.grace = grace
        self._host = host
        self._events = events
        self._log = log
        self._child_ends: dict[int, ChildEnds] = {}
        self._untold: set[int] = set()  # started, and their ``fork`` is not told yet
        self._when_empty: list[tuple[Origin, Callable[[], Any]]] = []
        self.is_disconnecting = False
        self.taps: list[Callable[[str, WorkerHandle, tuple[Any, ...]], None]] = []
        self.received_tap: Callable[[WorkerHandle, Frame], None] | None = None
        self.sent_tap: Callable[[WorkerHandle, Any, Any], None] | None = None
        events.on("new_listener", self._listener_added)

    # --- the life of a worker ------------------------------------------------------------------

    def new_worker(self, env: Mapping[str, str] | None = None) -> WorkerHandle:
        """Return the handle of a worker that has channels and no process yet.

        Raises:
            OSError: no descriptors are left for its channels.
        """
        message_ends = _socket.socketpair()
        connection_ends = connection_pair()
        worker = WorkerHandle(self.registry.next_id(), self, env)
        worker.max_message_bytes = self._host.message_limit()
        worker.channel = Channel(
            message_ends[0],
            partial(self._frame, worker),
            partial(self._closed, worker),
            max_message=worker.max_message_bytes,
        )
        worker.connections = OfferingEnd(
            connection_ends[0],
            partial(self._answer, worker),
            partial(self._connections_closed, worker),
        )
        worker.sender = HandleSender(worker.channel, self._log)
        worker.sent_tap = self.sent_tap
        self._child_ends[worker.id] = ChildEnds(message_ends[1], connection_ends[1])
        self.registry.add(worker)
        worker.early_messages = MessageQueue(f"worker {worker.id}", self._log)
        worker.on("new_listener", self._listener_added)
        return worker

    def started(self, worker: WorkerHandle, pid: int) -> None:
        """In the parent: the worker has a process."""
        worker.process.pid = pid
        self.registry.started(worker, pid)
        self._child_ends.pop(worker.id).close()
        worker.channel.attach(self.loop)
        worker.connections.attach(self.loop)
        self._untold.add(worker.id)
        self.loop.call_soon(self._tell_fork, worker)

    def failed_to_start(self, worker: WorkerHandle, error: OSError) -> None:
        """The process could not be made: Node's spawn failure (node-cluster-spec §2.10), without dying."""
        self._child_ends.pop(worker.id).close()
        self.loop.call_soon(self._spawn_failed, worker, error)

    def discard(self, worker: WorkerHandle) -> None:
        """The worker can never have a process: nothing is told of it but the exception that its fork raises."""
        self._child_ends.pop(worker.id).close()
        self.registry.remove(worker, None)
        worker.channel.abandon()
        worker.connections.abandon()

    def in_child(self, worker: WorkerHandle | None) -> ChildEnds | None:
        """In a forked child: let go of everything of the primary; return the ends of ``worker``."""
        for other in self.registry.by_id.values():
            other.channel.abandon()
            other.connections.abandon()
        for worker_id, ends in self._child_ends.items():
            if worker is None or worker_id != worker.id:
                ends.close()
        self.listeners.abandon()
        self.shared.abandon()
        self.loop.abandon()
        return None if worker is None else self._child_ends[worker.id]

    def retire(self, worker: WorkerHandle) -> None:
        """No further connection for this worker; its end is asked for, not an accident."""
        if worker.exited_after_disconnect is None:
            worker.exited_after_disconnect = True
        self._leave_all(worker)

    def hear_out(self, worker: WorkerHandle) -> None:
        """The process has ended: everything that it had said is delivered."""
        if worker.id in self._untold:
            self.loop.run_soon()  # it ended before the turn on which its fork would have been told
        worker.process.is_reaped = True
        worker.connections.finish()
        worker.channel.drain()

    def reaped(self, worker: WorkerHandle, status: ExitStatus) -> None:
        """The process has ended and was heard out: ``disconnect``, then ``exit``."""
        self.hear_out(worker)
        worker.channel.close()
        # Only now: at ``disconnect`` a worker is not dead yet (node-cluster-spec 2.3).
        worker.process.exit_code, worker.process.signal_code = status.code, status.signal
        if worker.exited_after_disconnect is None:
            worker.exited_after_disconnect = False
        worker.lifecycle.advance("exit")
        self.registry.remove(worker, worker.process.pid)
        self._emit(worker, "exit", status.code, status.signal)
        self._check_empty()

    # --- what users and handles ask ------------------------------------------------------------

    def fork(self, env: Mapping[str, str] | None = None) -> WorkerHandle:
        """Make a worker, its process and events follow on a later turn; or return the one that stands in."""
        present = self._host.stand_in()
        if present is not None:
            return present
        worker = self.new_worker(env)
        try:
            self._host.spawn_soon(worker)
        except (SettingsError, PermissionError):
            self.discard(worker)
            raise
        return worker

    def disconnect(self, callback: Callable[[], Any] | None = None, timeout: float | None = None) -> None:
        """Disconnect every worker; call back after the last of them is gone (difference D4).

        Args:
            callback: called once, with nothing.
            timeout: seconds that each may take; ``None`` for the usual limit.
        """
        if callback is not None:
            self._when_empty.append((current_origin(), callback))
        self.is_disconnecting = True
        self._host.give_up_requested("cluster.disconnect() was called")
        for worker in list(self.registry.by_id.values()):
            self.disconnect_worker(worker, timeout)
        self.loop.call_soon(self._check_empty)

    def disconnect_worker(self, worker: WorkerHandle, timeout: float | None = None) -> None:
        """See :meth:`WorkerHandle.disconnect`."""
        if not worker.is_connected():
            worker.exited_after_disconnect = True  # as in Node, too late as it is
            return
        if worker.exited_after_disconnect is not None:
            return
        self.retire(worker)
        worker.sender.send_own(encode_disconnect(timeout))
        self._host.limit_end(worker, timeout)
        self._host.worker_changed()

    def report_send_error(self, worker: WorkerHandle, error: ClusterError) -> None:
        """See :class:`~nodecluster_compat.worker_handle.Supervisor`; on a later turn, as in Node."""
        self.loop.call_soon(self._send_failed, worker, error)

    def reload(self, callback: Callable[[ReloadReport], Any] | None = None) -> None:
        """See :meth:`~nodecluster_compat.cluster_facade.Cluster.reload`."""
        self._host.reload_soon(None if callback is None else partial(run_guarded, "reload", current_origin(), callback))

    def status(self) -> ClusterStatus:
        """See :attr:`~nodecluster_compat.cluster_facade.Cluster.status`."""
        return self._host.status()

    def forget(self, origin: Origin) -> Forgotten:
        """Remove the handlers and timers that were registered from ``origin``; return them for :meth:`recall`."""
        emitters: list[Emitter] = [self._events, *self.registry.by_id.values()]
        return Forgotten(
            origin, [(emitter, emitter.forget(origin)) for emitter in emitters], self.loop.take_timers(origin)
        )

    def recall(self, forgotten: Forgotten) -> None:
        """Put back what :meth:`forget` removed, in place of what has been registered from there since."""
        self.forget(forgotten.origin)
        for emitter, registrations in forgotten.handlers:
            emitter.recall(registrations)
        self.loop.give_back_timers(forgotten.timers)

    # --- frames and packets of workers ---------------------------------------------------------

    def _frame(self, worker: WorkerHandle, frame: Frame) -> None:
        if frame.kind is FrameKind.MESSAGE or frame.kind is FrameKind.HANDLE:
            self._message(worker, frame)
        elif frame.kind is FrameKind.ONLINE:
            self._advance(worker, "online")
            self._emit(worker, "online")
        elif frame.kind is FrameKind.LISTENING:
            self._listening(worker, frame)
        elif frame.kind is FrameKind.LEAVING:
            self.retire(worker)
            self._host.worker_changed()
        elif frame.kind is FrameKind.DUE:
            worker.is_due = True
            self._host.worker_changed()
        elif frame.kind is FrameKind.QUERY:
            self._query(worker, frame.payload)
        elif frame.kind is FrameKind.CLOSED:
            listener_id = decode_closed(frame.payload)
            self.listeners.leave_one(worker.id, listener_id)
            self.shared.leave(worker.id, listener_id)
        elif frame.kind is FrameKind.TAKEN:
            worker.sender.taken()
        elif frame.kind is FrameKind.NOT_TAKEN:
            worker.sender.not_taken()
        else:
            raise FrameError(f"a worker sent a frame that only the primary sends: {frame.kind.name}")

    def _listening(self, worker: WorkerHandle, frame: Frame) -> None:
        listener_id, address = decode_address(frame.payload)
        self._advance(worker, "listening")
        if not worker.is_leaving:
            self.listeners.join(worker.id, listener_id)
        if worker.can_serve:
            self._host.worker_listens(worker)
        self._emit(worker, "listening", address)

    def _query(self, worker: WorkerHandle, payload: bytes | bytearray) -> None:
        request_id, request = decode_request(payload)
        if not self._host.is_binding():
            raise FrameError("a worker asked for a socket, which gunicorn's settings alone say here")
        if worker.is_leaving:
            return  # as in Node: no reply, no error
        shared = self.shared.query(worker.id, request_id, request)
        kind = FrameKind.ANSWER if shared.fd is None else FrameKind.SHARED
        worker.channel.answer(encode_answer(shared.answer, kind), shared.fd)

    def _answer(self, worker: WorkerHandle, packet: Packet) -> None:
        kind, listener_id = packet
        if kind is PacketKind.ACCEPTED or kind is PacketKind.REFUSED:
            self.listeners.answered(worker.id, packet)
        elif kind is PacketKind.ROOM:
            self.listeners.has_room(worker.id, listener_id)
        elif kind is PacketKind.LEAVE:
            self._leave_all(worker)
            worker.connections.confirm_left()
            self._host.worker_changed()
        else:
            raise FrameError(f"a worker sent a packet that only the primary sends: {packet}")

    def _join_again(self, worker: WorkerHandle, listener_id: int) -> None:
        if worker.is_connected() and not worker.is_leaving:
            self.listeners.join(worker.id, listener_id)

    def _advance(self, worker: WorkerHandle, step: Any) -> None:
        try:
            worker.lifecycle.advance(step)
        except IllegalTransition as error:
            raise FrameError(str(error)) from error

    # --- the end of a channel ------------------------------------------------------------------

    def _closed(self, worker: WorkerHandle, error: ClusterError | None) -> None:
        if error is not None:
            self._log.error("The channel of worker %s is closed: %s", worker.id, error)
        # What it still answered counts: only then is it known what it had not acknowledged.
        worker.connections.finish()
        worker.sender.close()
        self.listeners.lost(worker.id)
        self.shared.lost(worker.id)
        asked = worker.exited_after_disconnect is not None
        if not asked:
            worker.exited_after_disconnect = False
        worker.lifecycle.advance("disconnect")
        self._emit(worker, "disconnect")
        if not worker.is_dead():
            # Its place is filled when it has exited, so that an exit handler's fork() finds the vacancy.
            orderly = asked or worker.is_leaving  # it has taken leave of its connections: a signal from outside
            seconds = self.grace if orderly else min(self.grace, _UNASKED_SECONDS)
            self.loop.call_later(seconds, self._end_if_alive, worker, seconds)

    def _connections_closed(self, worker: WorkerHandle, error: FrameError | None) -> None:
        self.listeners.lost(worker.id)
        if error is not None:
            self._log.error("The connection channel of worker %s is closed: %s", worker.id, error)
        # Without it the worker cannot serve.  In an orderly end the message channel closes right after,
        # by itself; a worker that closed only this one is disconnected here.
        self.loop.call_later(0.0 if error else _SECOND_CHANNEL_SECONDS, worker.channel.close)

    def _leave_all(self, worker: WorkerHandle) -> None:
        worker.is_leaving = True
        self.listeners.leave(worker.id)
        self.shared.lost(worker.id)

    def _end_if_alive(self, worker: WorkerHandle, seconds: float) -> None:
        if not worker.is_dead():
            self._log.error("Worker %s has no channel and did not exit within %s s: killed", worker.id, seconds)
            worker.kill(signals.SIGKILL)

    # --- events --------------------------------------------------------------------------------

    def _emit(self, worker: WorkerHandle, event: str, *args: Any) -> None:
        for tap in self.taps:
            tap(event, worker, args)
        worker.emit(event, *args)
        self._events.emit(event, worker, *args)

    def _message(self, worker: WorkerHandle, frame: Frame) -> None:
        if self.received_tap is not None:
            self.received_tap(worker, frame)
        if frame.kind is FrameKind.HANDLE:
            worker.channel.answer(encode_frame(FrameKind.NOT_TAKEN if frame.fd is None else FrameKind.TAKEN))
            if frame.fd is None:
                return
        if len(worker.early_messages) or not self._has_message_listener(worker):
            worker.early_messages.keep(frame)
        else:
            self._deliver_message(worker, frame)

    def _deliver_message(self, worker: WorkerHandle, frame: Frame) -> None:
        message, handle = receive_message(frame, worker.serializer, serves=self._host.is_binding())
        self._events.emit("message", worker, message, handle)
        worker.emit("message", message, handle)
        worker.process.emit("message", message, handle)

    def _has_message_listener(self, worker: WorkerHandle) -> bool:
        return bool(self._events.listener_count("message") or worker.listener_count("message"))

    def _listener_added(self, event: str, _: Callable[..., Any]) -> None:
        if event == "message":
            self.loop.call_soon(self._deliver_early_messages)

    def _deliver_early_messages(self) -> None:
        for worker in list(self.registry.by_id.values()):
            if self._has_message_listener(worker):
                self._deliver_kept(worker)

    def _deliver_kept(self, worker: WorkerHandle) -> None:
        try:
            while (frame := worker.early_messages.take()) is not None:
                self._deliver_message(worker, frame)
        except FrameError as error:
            self._log.error("The channel of worker %s is closed: %s", worker.id, error)
            worker.channel.close()

    def _tell_fork(self, worker: WorkerHandle) -> None:
        self._untold.discard(worker.id)
        self._emit(worker, "fork")

    def _spawn_failed(self, worker: WorkerHandle, error: OSError) -> None:
        self._log.error("Could not start worker %s: %s", worker.id, error)
        worker.process.exit_code = -(error.errno or 1)
        if worker.listener_count("error"):
            worker.emit("error", error)
        self._emit(worker, "fork")
        self.registry.remove(worker, None)
        worker.channel.attach(self.loop)  # callbacks of what was sent to it hear of the end
        worker.channel.close()
        worker.connections.close()
        self._check_empty()

    def _send_failed(self, worker: WorkerHandle, error: ClusterError) -> None:
        if worker.listener_count("error"):
            worker.emit("error", error)
        else:
            self._log.error("A message to worker %s was not sent: %s", worker.id, error)

    def _check_empty(self) -> None:
        if not self.is_disconnecting or self.registry.by_id:
            return
        self.is_disconnecting = False
        callbacks, self._when_empty = self._when_empty, []
        for origin, callback in callbacks:
            run_guarded("cluster.disconnect", origin, callback)
        self._host.finish()
