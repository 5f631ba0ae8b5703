"""Send descriptors over a channel one at a time; what is sent after one waits until it has arrived.

Theory of operation
-------------------
At most one descriptor is under way.  Until the receiver has said that it arrived, whatever is sent after it waits
here, so order holds even when the receiver had no room for the descriptor and it is sent again, as
in Node.

    free ──message with a descriptor──▶ waiting ──TAKEN──▶ free (and on with what waits)
                                          └─NOT_TAKEN─▶ sent again, at most three times, then given up with a warning

What waits is bounded, in bytes and in descriptors: a receiver that never says that one arrived costs that much.

A descriptor belongs to the queue from the moment it has left its handle; it is closed when the receiver has taken it,
when it is given up, and when the channel closes.
"""

from __future__ import annotations

from collections import deque
from typing import Any, Final

from msgspec import Struct

from ..base.log import Log
from ..errors import ChannelClosed, ChannelFull, ClusterError
from ..machine.letting_go import let_go
from .channel import FRAME_COST, MAX_QUEUED_BYTES, PRESSURE_BYTES, Channel, SendCallback

__all__ = ["DescriptorQueue"]

_MOST_ATTEMPTS: Final = 4  # Node: three more after the first
_MOST_WAITING: Final = 64  # descriptors


class _Parcel(Struct):
    """A frame under way, and the descriptor that goes beside it."""

    frame: bytes
    callback: SendCallback | None
    fd: int | None
    attempts: int = 0


class DescriptorQueue:
    """Queues what waits behind a descriptor that is under way.

    Args:
        channel: where everything goes.
        log: told of a descriptor that never arrived.
        quick: sends messages in C, unless its ``is_held`` says that they wait here; ``None``: there is no C.

    Attributes:
        under_way: what was sent and has not arrived yet; ``None``: what is sent goes to the channel at once.
    """

    __slots__ = ("_bytes", "_channel", "_descriptors", "_log", "_quick", "_waiting", "under_way")

    def __init__(self, channel: Channel, log: Log, quick: Any) -> None:  # noqa: ANN401 - C's
        self._channel = channel
        self._log = log
        self._quick = quick  # and not the line, which would be freed by a search for cycles only
        self.under_way: _Parcel | None = None
        self._waiting: deque[_Parcel] = deque()
        self._bytes = 0  # with what each frame costs
        self._descriptors = 0  # among what waits

    def check(self, size: int) -> None:
        """Raise what a frame of ``size`` bytes with a descriptor would meet now.

        Raises:
            ChannelClosed, ChannelFull: it would not be taken.
        """
        if self._descriptors >= _MOST_WAITING:
            raise ChannelFull(f"{self._descriptors} handles already wait behind one that has not arrived")
        refusal = self.refusal(size)
        if refusal is not None:
            raise refusal

    def refusal(self, size: int) -> ClusterError | None:
        """Return the error that a frame of ``size`` bytes would meet now."""
        return self._channel.refusal(size) if self.under_way is None else self._full(size)

    def _full(self, size: int) -> ChannelFull | None:
        if not self._waiting or self._bytes + size + FRAME_COST <= MAX_QUEUED_BYTES:
            return None
        return ChannelFull(f"{self._bytes} bytes already wait behind a handle that has not arrived")

    def send(self, frame: bytes, callback: SendCallback | None, fd: int | None) -> bool:
        """Send a frame, or let it wait.

        Args:
            frame: encoded.
            callback: hears whether it was written.
            fd: goes beside it; :meth:`check` has let it pass.

        Returns:
            Whether the sender may go on: what waits is little.

        Raises:
            ChannelClosed, ChannelFull: it was not taken.
        """
        if self.under_way is None:
            return self._channel.send(frame, callback) if fd is None else self._transmit(_Parcel(frame, callback, fd))
        full = self._full(len(frame)) if fd is None else None
        if full is not None:
            raise full
        self.wait(frame, callback, fd)
        return len(self._waiting) == 1

    def wait(self, frame: bytes, callback: SendCallback | None = None, fd: int | None = None) -> None:
        """Let a frame wait, whatever waits already."""
        self._waiting.append(_Parcel(frame, callback, fd))
        self._bytes += len(frame) + FRAME_COST
        self._descriptors += fd is not None

    def _transmit(self, parcel: _Parcel) -> bool:
        try:
            accepted = self._channel.send(parcel.frame, parcel.callback, parcel.fd)
        except ClusterError:
            _close(parcel)
            raise
        parcel.attempts = 1
        if self._channel.is_open:
            self._hold(parcel)
        else:
            _close(parcel)
        return accepted or self._channel.queued_bytes < PRESSURE_BYTES

    def _hold(self, parcel: _Parcel | None) -> None:
        """Let messages wait behind a descriptor, or behind none any more."""
        self.under_way = parcel
        if self._quick is not None:
            self._quick.is_held = parcel is not None

    def taken(self) -> None:
        """The receiver has the descriptor; an answer to what was not sent, or not yet, is ignored (a forgery)."""
        parcel = self._answered()
        if parcel is not None:
            self._hold(None)
            _close(parcel)
            self._go_on()

    def _answered(self) -> _Parcel | None:
        """Return what the receiver answers: it has been sent, so its descriptor is not the queue's any more."""
        parcel = self.under_way
        return None if parcel is None or parcel.fd is None or not self._channel.has_sent(parcel.fd) else parcel

    def not_taken(self) -> None:
        """The receiver had no room for the descriptor; as :meth:`taken`."""
        parcel = self._answered()
        if parcel is None:
            return
        if parcel.attempts < _MOST_ATTEMPTS:
            parcel.attempts += 1
            self._channel.send_own(parcel.frame, parcel.fd)
        else:
            self._log.warning("A handle was not received after %s attempts: its message is dropped", _MOST_ATTEMPTS)
            self.taken()

    def closed(self) -> None:
        """The channel is closed: let go of every descriptor, tell every callback."""
        parcels = [*([self.under_way] if self.under_way else []), *self._waiting]
        self._hold(None)
        self._waiting.clear()
        for parcel in parcels:
            _close(parcel)
            if parcel.callback is not None and parcel.attempts == 0:
                error = ChannelClosed("the channel was closed before the message was written")
                self._channel.tell(parcel.callback, error)

    def _go_on(self) -> None:
        while self._waiting and self.under_way is None and self._channel.is_open:
            parcel = self._waiting.popleft()
            self._bytes -= len(parcel.frame) + FRAME_COST
            self._descriptors -= parcel.fd is not None
            if parcel.fd is None:
                self._channel.send_own(parcel.frame, callback=parcel.callback)
            else:
                self._transmit(parcel)


def _close(parcel: _Parcel) -> None:
    if parcel.fd is not None:
        let_go(parcel.fd)
        parcel.fd = None
