"""Sends messages and the descriptors that go with some of them, in order.

Theory of operation
-------------------
At most one descriptor is under way on a channel.  Until the receiver has said that it arrived, whatever is sent
after it waits here, so order holds even when the receiver had no room for the descriptor and it is sent again
(Node: node-cluster-spec §4.5).

    free ──message with a descriptor──▶ waiting ──TAKEN──▶ free (and on with what waits)
                                          └─NOT_TAKEN─▶ sent again, at most three times, then given up with a warning

What waits is bounded, in bytes and in descriptors: a receiver that never says that one arrived costs that much.

The descriptor belongs to this object from :meth:`HandleSender.send` on; it is closed when the receiver has taken it,
when it is given up, and when the channel closes.
"""

from __future__ import annotations

from collections import deque
from dataclasses import dataclass
from typing import Final

from ..base.emitter import Log
from ..errors import ChannelClosed, ChannelFull, ClusterError
from ..machine.letting_go import let_go
from .channel import FRAME_COST, MAX_QUEUED_BYTES, PRESSURE_BYTES, Channel, SendCallback

__all__ = ["HandleSender"]

_MOST_ATTEMPTS: Final = 4  # Node: three more after the first
_MOST_WAITING: Final = 64  # descriptors


@dataclass(slots=True)
class _Parcel:
    frame: bytes
    callback: SendCallback | None
    fd: int | None
    attempts: int = 0


class HandleSender:
    """The sending side of one channel.

    Args:
        channel: where everything goes.
        log: told of a descriptor that never arrived.
    """

    def __init__(self, channel: Channel, log: Log) -> None:
        self._channel = channel
        self._log = log
        self._under_way: _Parcel | None = None
        self._waiting: deque[_Parcel] = deque()
        self._waiting_bytes = 0  # with what each frame costs
        self._waiting_descriptors = 0

    @property
    def is_waiting(self) -> bool:
        """Whether a descriptor is under way."""
        return self._under_way is not None

    def check(self, size: int) -> None:
        """See whether a frame of ``size`` bytes with a descriptor would be taken now.

        Raises:
            ChannelClosed, ChannelFull: it would not.
        """
        if self._waiting_descriptors >= _MOST_WAITING:
            raise ChannelFull(f"{self._waiting_descriptors} handles already wait behind one that has not arrived")
        refusal = self._refusal(size) if self.is_waiting else self._channel.refusal(size)
        if refusal is not None:
            raise refusal

    def send(self, frame: bytes, callback: SendCallback | None, fd: int | None = None) -> bool:
        """Send a frame, with ``fd`` beside it, after a :meth:`check`; see :meth:`Channel.send`.

        Returns:
            As :meth:`Channel.send`; also ``False`` when others wait already behind a descriptor.
        """
        if self._under_way is None:
            return self._transmit(_Parcel(frame, callback, fd))
        refusal = self._refusal(len(frame)) if fd is None else None
        if refusal is not None:
            raise refusal
        self._wait(_Parcel(frame, callback, fd))
        return len(self._waiting) == 1

    def send_own(self, frame: bytes) -> None:
        """Send a frame of the runtime's that must not overtake messages."""
        if self._under_way is None:
            self._channel.send_own(frame)
        else:
            self._wait(_Parcel(frame, None, None))

    def taken(self) -> None:
        """The receiver has the descriptor; an answer to nothing is ignored (a forgery)."""
        parcel, self._under_way = self._under_way, None
        if parcel is not None:
            _close(parcel)
            self._go_on()

    def not_taken(self) -> None:
        """The receiver had no room for the descriptor."""
        parcel = self._under_way
        if parcel is None:
            return
        if parcel.attempts < _MOST_ATTEMPTS:
            parcel.attempts += 1
            self._channel.send_own(parcel.frame, parcel.fd)
        else:
            self._log.warning("A handle was not received after %s attempts: its message is dropped", _MOST_ATTEMPTS)
            self.taken()

    def close(self) -> None:
        """The channel is closed: let go of every descriptor, tell every callback."""
        parcels = [*([self._under_way] if self._under_way else []), *self._waiting]
        self._under_way = None
        self._waiting.clear()
        for parcel in parcels:
            _close(parcel)
            if parcel.callback is not None and parcel.attempts == 0:
                self._channel.tell(parcel.callback, _closed())

    def _refusal(self, size: int) -> ChannelFull | None:
        if not self._waiting or self._waiting_bytes + size + FRAME_COST <= MAX_QUEUED_BYTES:
            return None
        return ChannelFull(f"{self._waiting_bytes} bytes already wait behind a handle that has not arrived")

    def _wait(self, parcel: _Parcel) -> None:
        self._waiting.append(parcel)
        self._waiting_bytes += len(parcel.frame) + FRAME_COST
        self._waiting_descriptors += parcel.fd is not None

    def _go_on(self) -> None:
        while self._waiting and self._under_way is None and self._channel.is_open:
            parcel = self._waiting.popleft()
            self._waiting_bytes -= len(parcel.frame) + FRAME_COST
            self._waiting_descriptors -= parcel.fd is not None
            if parcel.fd is None:
                self._channel.send_own(parcel.frame, callback=parcel.callback)
            else:
                self._transmit(parcel)

    def _transmit(self, parcel: _Parcel) -> bool:
        if parcel.fd is None:
            return self._channel.send(parcel.frame, parcel.callback)
        try:
            accepted = self._channel.send(parcel.frame, parcel.callback, parcel.fd)
        except ClusterError:
            _close(parcel)
            raise
        parcel.attempts = 1
        if self._channel.is_open:
            self._under_way = parcel
        else:
            _close(parcel)
        return accepted or self._channel.queued_bytes < PRESSURE_BYTES


def _close(parcel: _Parcel) -> None:
    if parcel.fd is not None:
        let_go(parcel.fd)
        parcel.fd = None


def _closed() -> ChannelClosed:
    return ChannelClosed("the channel was closed before the message was written")
