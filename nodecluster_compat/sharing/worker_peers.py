"""Join the workers of a primary to its exchange: who is there, what comes from them, and how they are reached."""

from __future__ import annotations

from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from ..errors import ClusterError, FrameError
from ..messages.frames import Frame, FrameKind
from .exchange import Exchange
from .sides import MOST_UNREAD_BYTES
from .verbs import Caller, Returning
from .wire import MOST_BYTES, encode, encode_call, encode_return

if TYPE_CHECKING:
    from ..base.log import Log
    from ..roles.primary import Primary
    from ..roles.worker_handle import WorkerHandle

__all__ = ["WorkerPeers"]

_MOST_BROADCAST: Final = 4 * MOST_BYTES  # numbers that a worker has packed tighter are packed here again


class _WorkerPeer:
    """A worker as the exchange sees it."""

    def __init__(self, worker: WorkerHandle, log: Log) -> None:
        self.id = worker.id
        self._worker = worker
        self._log = log

    def publish(self, frame: bytes, topic: str, body: bytes | bytearray) -> bool:
        return self._worker.line.offer(frame, MOST_UNREAD_BYTES)

    def publish_run(self, run: bytes) -> bool:
        return self._worker.line.offer(run, MOST_UNREAD_BYTES)

    def call(self, number: int, verb: str, body: bytes) -> bool:
        return self._worker.line.offer(encode_call(number, verb, body), MOST_UNREAD_BYTES)

    def send(self, frame: bytes, verb: str, body: bytes, is_bounded: bool) -> bool:
        return self._worker.line.forward(frame, MOST_UNREAD_BYTES if is_bounded else None)

    def give(self, number: int, is_done: bool, body: bytes) -> None:
        try:
            self._worker.line.answer(encode_return(number, is_done, body))
        except FrameError as error:
            self._log.error("The channel of worker %s is closed: %s", self.id, error)
            self._worker.line.close()


class WorkerPeers:
    """The workers of one primary, as its exchange reaches them.

    Args:
        primary: that.
        exchange: its own.
        log: told of channels that are closed.
    """

    def __init__(self, primary: Primary, exchange: Exchange, log: Log) -> None:
        self._exchange = exchange
        self._registry = primary.registry
        self._deliver = primary.deliveries.received
        self._log = log
        frames = primary.inbound.frames
        frames.on(FrameKind.PUBLISH, partial(_pass, lambda _, payload: exchange.publish(payload)))
        primary.inbound.publish_run = exchange.publish_run
        frames.on(FrameKind.CALL, partial(_pass, exchange.called))
        frames.on(FrameKind.RETURN, partial(_pass, exchange.returned))
        primary.taps.append(self._told)
        primary.when_leaving.append(lambda worker: exchange.tell("leaving", worker.id))
        exchange.verbs.on("broadcast", Any, self._broadcast)

    def _told(self, event: str, worker: WorkerHandle, _: tuple[Any, ...]) -> None:
        if event == "online":
            self._exchange.join(_WorkerPeer(worker, self._log))
        elif event == "listening":
            self._exchange.tell("listening", worker.id)
        elif event == "disconnect":
            self._exchange.leave(worker.id)
        elif event == "exit":
            self._exchange.tell("ended", worker.id)

    def _broadcast(self, peer: Caller, message: Any, _: Returning) -> None:  # noqa: ANN401 - a message
        try:
            body = encode(message, limit=_MOST_BROADCAST)
        except ClusterError as error:  # its side would have refused it
            raise FrameError(f"a worker broadcasts what cannot be passed on: {error}") from error
        self._exchange.send([one for one in self._exchange.workers if one != peer.id], "broadcast", body)
        sender = self._registry.by_id.get(peer.id)
        if sender is not None:
            self._deliver(sender, Frame(FrameKind.CALL, body))


def _pass(receive: Callable[[int, bytes | bytearray], None], worker: WorkerHandle, frame: Frame) -> None:
    receive(worker.id, frame.payload)
