"""Act on what workers send to the primary over their message channels.

Each kind of frame has one handler in a table; a capability registers its own with ``inbound.frames.on(kind, handler)``.
A handler is called as ``handler(worker, frame)``, on the primary's thread, and must not wait.  Nothing that a worker
sends is trusted: what makes no sense raises ``FrameError``, which closes that worker's channel and harms nobody else.
What comes over the connection channels is the dealer's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from ..base.handlers import Handlers
from ..errors import FrameError, IllegalTransition
from ..messages.frames import Frame, FrameKind
from ..messages.payloads import decode_address, decode_closed, decode_request, encode_answer
from .worker_handle import WorkerHandle

if TYPE_CHECKING:
    from ..connections.dealer import Dealer
    from ..connections.shared_sockets import SharedSockets
    from ..lifecycle.states import Step
    from .deliveries import Deliveries
    from .departures import Departures
    from .host import Host

__all__ = ["Inbound"]


class Inbound:
    """Handles the frames of every worker of one primary.

    Args:
        host: the server around the primary.
        dealer: has the listening sockets that workers serve.
        shared: the sockets that they asked for.
        deliveries: where messages go.
        departures: how workers leave.
        tell: emits an event of a worker, and of the cluster.

    Attributes:
        frames: the table of frames; a door for capabilities.
        publish_run: offered frames that publish and came together, before ``frames``; a door, too.
    """

    def __init__(
        self,
        host: Host,
        dealer: Dealer,
        shared: SharedSockets,
        deliveries: Deliveries,
        departures: Departures,
        tell: Callable[..., None],
    ) -> None:
        self._host = host
        self._dealer = dealer
        self._shared = shared
        self._departures = departures
        self._tell = tell
        self.publish_run: Callable[[bytes], bool] | None = None
        self.frames: Handlers[WorkerHandle, Frame] = Handlers("a worker sent a frame that only the primary sends")
        self._handle_frames(deliveries)

    def _handle_frames(self, deliveries: Deliveries) -> None:
        for frame_kind, on_frame in {
            FrameKind.MESSAGE: deliveries.received,
            FrameKind.HANDLE: deliveries.received_with_handle,
            FrameKind.REQUEST: lambda worker, frame: worker.requests.asked(frame),
            FrameKind.REPLY: lambda worker, frame: worker.requests.replied(frame),
            FrameKind.ONLINE: self._online,
            FrameKind.LISTENING: self._listening,
            FrameKind.LEAVING: self._leaving,
            FrameKind.DUE: self._due,
            FrameKind.QUERY: self._query,
            FrameKind.CLOSED: self._closed,
            FrameKind.TAKEN: lambda worker, _: worker.line.taken(),
            FrameKind.NOT_TAKEN: lambda worker, _: worker.line.not_taken(),
        }.items():
            self.frames.on(frame_kind, on_frame)

    # --- frames --------------------------------------------------------------------------------

    def _online(self, worker: WorkerHandle, _: Frame) -> None:
        self._advance(worker, "online")
        self._tell(worker, "online")

    def _listening(self, worker: WorkerHandle, frame: Frame) -> None:
        listener_id, address = decode_address(frame.payload)
        self._advance(worker, "listening")
        if not worker.way_out.is_ending:
            self._dealer.join(worker.id, listener_id)
        if worker.can_serve:
            self._host.worker_listens(worker)
        self._tell(worker, "listening", address)

    def _leaving(self, worker: WorkerHandle, _: Frame) -> None:
        self._departures.retire(worker)
        self._host.worker_changed()

    def _due(self, worker: WorkerHandle, _: Frame) -> None:
        worker.wants_successor = True
        self._host.worker_changed()

    def _query(self, worker: WorkerHandle, frame: Frame) -> None:
        request_id, request = decode_request(frame.payload)
        if not self._host.is_binding():
            raise FrameError("a worker asked for a socket, which gunicorn's settings alone say here")
        if worker.way_out.is_ending:
            return  # as in Node: no reply, no error
        shared = self._shared.query(worker.id, request_id, request)
        kind = FrameKind.ANSWER if shared.fd is None else FrameKind.SHARED
        worker.line.answer(encode_answer(shared.answer, kind), shared.fd)

    def _closed(self, worker: WorkerHandle, frame: Frame) -> None:
        listener_id = decode_closed(frame.payload)
        self._dealer.leave_one(worker.id, listener_id)
        self._shared.leave(worker.id, listener_id)

    def _advance(self, worker: WorkerHandle, step: Step) -> None:
        try:
            worker.lifecycle.advance(step)
        except IllegalTransition as error:
            raise FrameError(str(error)) from error
