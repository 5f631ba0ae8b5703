"""The primary: owns the listeners, the channels and the workers' handles, and turns frames into events.

It knows no gunicorn: what only the arbiter can do (start a process, end the server) it asks of its
:class:`~nodecluster_compat.roles.host.Host`.  It runs on one thread, inside the turns of its
:class:`~nodecluster_compat.base.loop.Loop`.

Order is part of the contract (DESIGN §2): for every event but ``message`` the worker's handlers run before
the cluster's; ``disconnect`` before ``exit``, always both; ``fork`` on the turn after the fork.

Nothing that a worker does may stop the primary: a frame that makes no sense closes that worker's channels,
and the worker, which then reads end-of-file, exits; if it does not, it is killed after a grace period.
"""

from __future__ import annotations

import _socket
import signal as signals
from collections.abc import Callable, Mapping
from functools import partial
from typing import Any, Final

from ..base.emitter import Emitter, Log, Origin, current_origin, run_guarded
from ..base.loop import Loop
from ..base.records import ExitStatus
from ..connections.handoffs import Handoffs
from ..connections.listeners import Listeners
from ..connections.offers import OfferingEnd, connection_pair
from ..connections.packets import Packet, PacketKind
from ..connections.shared_sockets import SharedSockets
from ..errors import ClusterError, FrameError, IllegalTransition, SettingsError
from ..lifecycle.registry import Registry
from ..lifecycle.rollout import ReloadReport
from ..messages.arrived import MessageQueue
from ..messages.channel import Channel
from ..messages.handle_sender import HandleSender
from ..messages.payloads import (
    Frame,
    FrameKind,
    decode_address,
    decode_closed,
    decode_request,
    encode_answer,
    encode_disconnect,
)
from .child_ends import ChildEnds
from .deliveries import Deliveries
from .forgetting import Forgotten, forget
from .host import Host
from .status import ClusterStatus
from .worker_handle import WorkerHandle

__all__ = ["Primary"]

_SECOND_CHANNEL_SECONDS: Final = 0.5
_UNASKED_SECONDS: Final = 2.0  # a worker that lost its channel exits at once; this one does not


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
        self.deliveries = Deliveries(self.registry, loop, events, log, host.is_binding)
        self.grace = grace
        self._host = host
        self._events = events
        self._log = log
        self._child_ends: dict[int, ChildEnds] = {}
        self._untold: set[int] = set()  # started, and their ``fork`` is not told yet
        self._when_empty: list[tuple[Origin, Callable[[], Any]]] = []
        self.is_disconnecting = False
        self.taps: list[Callable[[str, WorkerHandle, tuple[Any, ...]], None]] = []
        self.sent_tap: Callable[[WorkerHandle, Any, Any], None] | None = None

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
        self.deliveries.watch(worker)
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
        """See :class:`~nodecluster_compat.roles.worker_handle.Supervisor`; on a later turn, as in Node."""
        self.loop.call_soon(self._send_failed, worker, error)

    def reload(self, callback: Callable[[ReloadReport], Any] | None = None) -> None:
        """See :meth:`~nodecluster_compat.roles.cluster.Cluster.reload`."""
        self._host.reload_soon(None if callback is None else partial(run_guarded, "reload", current_origin(), callback))

    def status(self) -> ClusterStatus:
        """See :attr:`~nodecluster_compat.roles.cluster.Cluster.status`."""
        return self._host.status()

    def forget(self, origin: Origin) -> Forgotten:
        """Remove the handlers and timers that were registered from ``origin``; return them for :meth:`recall`."""
        return forget(origin, [self._events, *self.registry.by_id.values()], self.loop)

    def recall(self, forgotten: Forgotten) -> None:
        """Put back what :meth:`forget` removed, in place of what has been registered from there since."""
        self.forget(forgotten.origin)
        forgotten.put_back(self.loop)

    # --- frames and packets of workers ---------------------------------------------------------

    def _frame(self, worker: WorkerHandle, frame: Frame) -> None:
        if frame.kind is FrameKind.MESSAGE or frame.kind is FrameKind.HANDLE:
            self.deliveries.received(worker, frame)
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
