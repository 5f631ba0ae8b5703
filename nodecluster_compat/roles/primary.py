"""Play the primary: own the dealer, the message channels and the handles of the workers.

It knows no gunicorn: what only the arbiter can do (start a process, end the server) it asks of its
:class:`~nodecluster_compat.roles.host.Host`.  It runs on one thread, inside the turns of its
:class:`~nodecluster_compat.base.loop.Loop`.  What workers send is acted on in ``inbound``, how they leave is told in
``departures``, and the order of all events is kept by ``worker_events``.

Nothing that a worker does may stop the primary: a frame that makes no sense closes that worker's channels,
and the worker, which then reads end-of-file, exits; if it does not, it is killed after a grace period.
"""

from __future__ import annotations

import _socket
from collections.abc import Callable, Iterable, Mapping
from functools import partial
from typing import TYPE_CHECKING, Any

from ..base.emitter import Emitter
from ..base.handler_calls import Origin, current_origin, run_guarded
from ..base.log import Log
from ..base.loop import Loop
from ..base.native import in_force
from ..base.records import ExitStatus, Handle, Message
from ..connections.dealer import Dealer
from ..connections.offers import OfferingEnd, connection_pair
from ..connections.policies import RoundRobin
from ..connections.shared_sockets import SharedSockets
from ..errors import ClusterError, FrameError, SettingsError
from ..lifecycle.registry import Registry
from ..lifecycle.rollout import ReloadReport
from ..messages.arrived import ArrivedMessages
from ..messages.channel import Channel
from ..messages.line import Line
from ..messages.payloads import encode_disconnect
from .deliveries import Deliveries
from .departures import Departures
from .forgetting import Forgotten, forget
from .inbound import Inbound
from .process import process
from .requests import Requests
from .status import ClusterStatus
from .waiting import Waiting
from .worker_events import WorkerEvents
from .worker_handle import ChildEnds, WorkerHandle

if TYPE_CHECKING:
    from .forgetting import Keeper
    from .host import Host
    from .worker_process import Sender

__all__ = ["Primary"]


class Primary:
    """Node's primary.

    Args:
        host: the server around it.
        loop: its event loop.
        events: the emitter of ``cluster``.
        log: where it says what goes wrong.
        grace: seconds that a worker without a channel has left to live.
        queue_limit: bound of the accepted connections that wait, for each listener.

    Attributes:
        taps: told of each event of a worker; a door for capabilities, as is ``inbound.frames``.
        when_leaving: told of a worker that is on its way out, perhaps more than once.
        waiting: who may wait in this process, and how.
        keepers: who else keeps what a file has registered, which a reload takes off and perhaps puts back.
    """

    def __init__(self, host: Host, loop: Loop, events: Emitter, log: Log, grace: float, queue_limit: int) -> None:
        self.loop = loop
        self.registry: Registry[WorkerHandle] = Registry()
        self.dealer = Dealer(loop, log, RoundRobin, queue_limit, self._takes_no_more, self._connections_closed)
        self.shared = SharedSockets(self.dealer, host.is_dealing)
        self.deliveries = Deliveries(self.registry, loop, events, log, host.is_binding)
        self._worker_events = worker_events = WorkerEvents(loop, events)
        self._departures = Departures(loop, log, self.registry, self.dealer, self.shared, worker_events.emit, grace)
        self.inbound = Inbound(host, self.dealer, self.shared, self.deliveries, self._departures, worker_events.emit)
        self._host = host
        self._events = events
        self._log = log
        self._child_ends: dict[int, ChildEnds] = {}
        self._when_empty: list[tuple[Origin, Callable[[], Any]]] = []
        self.is_disconnecting = False
        self.waiting = Waiting(loop)
        self.taps = worker_events.taps
        self.sent_tap: Callable[[WorkerHandle, Message, Handle], None] | None = None
        self.when_leaving = self._departures.when_leaving
        self.keepers: list[Keeper] = []

    @property
    def grace(self) -> float:
        """Seconds that a worker without a channel has left to live."""
        return self._departures.grace

    @grace.setter
    def grace(self, seconds: float) -> None:
        self._departures.grace = seconds

    # --- the life of a worker ------------------------------------------------------------------

    def new_worker(self, env: Mapping[str, str | None] | None = None) -> WorkerHandle:
        """Return the handle of a worker that has channels and no process yet.

        Raises:
            OSError: no descriptors are left for its channels.
        """
        message_ends = _socket.socketpair()
        connection_ends = connection_pair()
        worker = WorkerHandle(self.registry.next_id(), self, env)
        worker.connections = OfferingEnd(worker.id, *connection_ends, asks=self.dealer.asks)
        worker.sent_tap = self.sent_tap
        self._child_ends[worker.id] = ChildEnds(message_ends[1], connection_ends[1])
        self._open_line(worker, message_ends[0])
        self.registry.add(worker)
        return worker

    def _open_line(self, worker: WorkerHandle, sock: _socket.socket) -> None:
        """Give a worker its end of the message channel, and what passes through it to those who act on it."""
        worker.max_message_bytes = limit = self._host.message_limit()
        handle, closed = self.inbound.frames.handle, self._departures.closed
        channel = Channel(sock, partial(handle, worker), partial(closed, worker), max_message=limit)
        worker.line = worker.process.line = Line(channel, self._log)
        name, events = f"worker {worker.id}", self._worker_events
        asked, hears = partial(events.emit_request, worker), partial(events.hears_requests, worker)
        worker.requests = Requests(worker.line, name, asked, hears)
        worker.early_messages = ArrivedMessages(name, self._log)
        self.deliveries.watch(worker)
        self.deliveries.watch(worker.process)
        channel.take_published_by(self.inbound.publish_run)
        channel.take_messages_by(self.deliveries.quickly(worker, self.inbound.frames, in_force()))

    def started(self, worker: WorkerHandle, pid: int) -> None:
        """In the parent: the worker has a process."""
        worker.process.pid = pid
        self._child_ends.pop(worker.id).messages.close()  # the other one is kept, to take offers back
        worker.line.attach(self.loop)
        worker.connections.slot = worker.slot
        self._worker_events.emit_fork_soon(worker)
        self.dealer.enrol(worker.connections, pid)  # last: what the dealer has to tell is told after the fork

    def lift(self, worker: WorkerHandle, lowest: int) -> None:
        """Move the worker's ends of its channels, which no process has yet, to descriptors from ``lowest`` on.

        Raises:
            OSError: no descriptors are left.
        """
        moved = self._child_ends[worker.id] = self._child_ends[worker.id].moved(lowest)
        worker.connections.far_moved(moved.connections)

    def failed_to_start(self, worker: WorkerHandle, error: OSError) -> None:
        """The process could not be made: Node's failure to spawn, without dying."""
        self._child_ends.pop(worker.id).close()
        self.loop.call_soon(self._spawn_failed, worker, error)

    def discard(self, worker: WorkerHandle) -> None:
        """The worker can never have a process: nothing is told of it but the exception that its fork raises."""
        self._child_ends.pop(worker.id).close()
        self.registry.remove(worker)
        worker.line.abandon()
        worker.requests.closed()
        worker.connections.abandon()

    def abandon(self, worker: WorkerHandle | None) -> ChildEnds | None:
        """In a forked child: let go of everything of the primary; return the ends of ``worker``."""
        for other in self.registry.by_id.values():
            other.line.abandon()
            other.connections.abandon(keeps_far=other is worker)
        for worker_id, ends in self._child_ends.items():
            if worker is None or worker_id != worker.id:
                ends.close()
        self.dealer.abandon()
        self.shared.abandon()
        self.loop.abandon()
        return None if worker is None else self._child_ends[worker.id]

    def retire(self, worker: WorkerHandle) -> None:
        """No further connection for this worker; its end is asked for, not an accident."""
        self._departures.retire(worker)

    def hear_out(self, worker: WorkerHandle) -> None:
        """The process has ended: everything that it had said is delivered."""
        self._departures.hear_out(worker)

    def reaped(self, worker: WorkerHandle, status: ExitStatus) -> None:
        """The process has ended: ``disconnect``, then ``exit``."""
        self._departures.hear_out(worker)
        self._departures.reaped(worker, status)
        self._check_empty()

    # --- what users and handles ask ------------------------------------------------------------

    def fork(self, env: Mapping[str, str | None] | None = None) -> WorkerHandle:
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
        self.close_idle()
        for worker in list(self.registry.by_id.values()):
            self.disconnect_worker(worker, timeout)
        self.loop.call_soon(self._check_empty)

    def close_idle(self) -> None:
        """The whole server ends: workers that drain, now or later, close idle connections at once."""
        for worker in self.registry.by_id.values():
            worker.close_idle()

    def disconnect_worker(self, worker: WorkerHandle, timeout: float | None = None) -> None:
        """See :meth:`WorkerHandle.disconnect`."""
        if not worker.is_connected():
            worker.exited_after_disconnect = True  # as in Node, too late as it is
            return
        if worker.exited_after_disconnect is not None:
            return
        self.retire(worker)
        worker.line.send_in_order(encode_disconnect(timeout))
        self._host.limit_end(worker, timeout)
        self._host.worker_changed()

    def ask_to_leave(self, worker: WorkerHandle) -> None:
        """Ask over the channel what a signal asks as well: an application may have replaced its handler."""
        if worker.is_connected():
            worker.line.send_in_order(encode_disconnect(None))

    def report_send_error(self, sender: Sender, error: ClusterError) -> None:
        """See :class:`~nodecluster_compat.roles.worker_handle.Owner`; on a later turn, as in Node."""
        self.loop.call_soon(self._send_failed, sender, error)

    def holding_changed(self) -> None:
        """See :class:`~nodecluster_compat.roles.worker_handle.Owner`: the runner of the loop looks again."""
        self.loop.wake()

    def reload(self, callback: Callable[[ReloadReport], Any] | None = None) -> None:
        """See :meth:`~nodecluster_compat.roles.cluster.Cluster.reload`."""
        self._host.reload_soon(None if callback is None else partial(run_guarded, "reload", current_origin(), callback))

    def check_settings(self, names: Iterable[str]) -> None:
        """See :meth:`~nodecluster_compat.roles.host.Host.check_settings`."""
        self._host.check_settings(names)

    def status(self) -> ClusterStatus:
        """See :attr:`~nodecluster_compat.roles.cluster.Cluster.status`."""
        return self._host.status()

    def forget(self, origin: Origin) -> Forgotten:
        """Remove the handlers and timers that were registered from ``origin``; return them for :meth:`recall`."""
        workers = self.registry.by_id.values()
        keepers = [self._events, process, *workers, *(one.process for one in workers), *self.keepers]
        return forget(origin, keepers, self.loop)

    def recall(self, forgotten: Forgotten) -> None:
        """Put back what :meth:`forget` removed, in place of what has been registered from there since."""
        self.forget(forgotten.origin)
        forgotten.put_back(self.loop)

    def wait_for(self, begin: Callable[[Callable[[], None]], None]) -> None:
        """See :class:`~nodecluster_compat.roles.worker_handle.Owner`."""
        self.waiting.wait_for(begin)

    # --- what dealing tells --------------------------------------------------------------------

    def _takes_no_more(self, worker_id: int) -> None:
        worker = self.registry.by_id.get(worker_id)
        if worker is not None:
            self._departures.leave_all(worker)
            self._host.worker_changed()

    def _connections_closed(self, worker_id: int, error: FrameError | None) -> None:
        worker = self.registry.by_id.get(worker_id)
        if error is not None:  # also of a worker that has exited since
            self._log.error("The connection channel of worker %s is closed: %s", worker_id, error)
        if worker is not None:
            self._departures.connections_closed(worker, is_broken=error is not None)

    # --- what fails, and what is over ----------------------------------------------------------

    def _spawn_failed(self, worker: WorkerHandle, error: OSError) -> None:
        self._log.error("Could not start worker %s: %s", worker.id, error)
        worker.process.exit_code = -(error.errno or 1)
        worker.tell_error(error)
        self._worker_events.emit(worker, "fork")
        self.registry.remove(worker)
        worker.line.attach(self.loop)  # callbacks of what was sent to it hear of the end
        worker.line.close()
        worker.connections.close()
        self._check_empty()

    def _send_failed(self, sender: Sender, error: ClusterError) -> None:
        if not sender.tell_error(error):
            self._log.error("A message to worker %s was not sent: %s", sender.id, error)

    def _check_empty(self) -> None:
        if not self.is_disconnecting or self.registry.by_id:
            return
        self.is_disconnecting = False
        callbacks, self._when_empty = self._when_empty, []
        for origin, callback in callbacks:
            run_guarded("cluster.disconnect", origin, callback)
        self._host.finish()
