"""Send and receive messages over a channel: one line per worker, the same on both sides (Node: ``send``).

A line is a channel with a serializer and a limit, and sends descriptors one at a time: what is sent after one waits
until it has arrived, so order holds (:mod:`descriptor_queue`).
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Final

from ..base.log import Log
from ..base.native import Choice, in_force
from ..base.reactor import Reactor
from ..base.records import Handle, Message
from ..errors import ChannelClosed, ChannelFull, ClusterError, FrameError
from ..machine.letting_go import let_go
from .channel import Channel, SendCallback
from .descriptor_queue import DescriptorQueue
from .frames import HEADER, MAX_MESSAGE_BYTES, Frame, FrameKind, encode_frame
from .passing import passed_descriptor, unpack
from .payloads import encode_payload
from .request_payloads import encode_asked, encode_reply
from .serialization import JSON, PACKED, Serializer, quick

if TYPE_CHECKING:
    from .message_faults import MessageFaults

__all__ = ["Line"]

_MESSAGE: Final = FrameKind.MESSAGE
_TAKEN: Final = encode_frame(FrameKind.TAKEN)
_NOT_TAKEN: Final = encode_frame(FrameKind.NOT_TAKEN)


JSON.strings = in_force().module


class Line:
    """Messages and their handles over one channel.

    Args:
        channel: where everything goes.
        log: told of a descriptor that never arrived.
        serializer: how messages become bytes; both ends use the same.
        limit: the largest message that the receiver takes, in bytes once encoded.
        choice: what sends a message that is ordinary.

    Attributes:
        send_quickly: sends, in C, a message without handle and callback: returns what :meth:`send` does; or ``None``,
            or the message as bytes, and nothing has happened: :meth:`send` is to do it.  ``None``: there is no C.
        decode: of the serializer; what is wrong with a message that it cannot decode, the serializer says.
    """

    __slots__ = (
        "__weakref__",
        "_channel",
        "_descriptors",
        "_limit",
        "_pausing",
        "_serializer",
        "decode",
        "send_quickly",
    )

    def __init__(
        self,
        channel: Channel,
        log: Log,
        serializer: Serializer = JSON,
        limit: int = MAX_MESSAGE_BYTES,
        choice: Choice | None = None,
    ) -> None:
        module = (in_force() if choice is None else choice).module
        self.send_quickly: Callable[[Message], bool | bytes | None] | None
        self.send_quickly = None if module is None else channel.post_in_c(module, limit)
        self.decode: Callable[[Any], Message]
        self.serializer = serializer
        self._channel = channel
        self._limit = limit
        self._descriptors = DescriptorQueue(channel, log, self.send_quickly)
        self._pausing: set[object] = set()

    @property
    def serializer(self) -> Serializer:
        """How messages become bytes."""
        return self._serializer

    @serializer.setter
    def serializer(self, serializer: Serializer) -> None:
        self._serializer = serializer
        encode, self.decode = quick(serializer)
        if self.send_quickly is not None:
            self.send_quickly.encode = encode  # type: ignore[attr-defined]  # C's

    # --- the channel ---------------------------------------------------------------------------

    @property
    def is_open(self) -> bool:
        """Whether messages can still be sent and received."""
        return self._channel.is_open

    def attach(self, reactor: Reactor) -> None:
        """Read and write through ``reactor`` from now on."""
        self._channel.attach(reactor)

    def close(self) -> None:
        """Close the channel; see :meth:`Channel.close`."""
        self._channel.close()

    def abandon(self) -> None:
        """In a forked child: close the inherited copy of the channel and nothing more."""
        self._channel.abandon()

    def drain(self) -> None:
        """Deliver what a peer that is dead had written."""
        self._channel.drain()

    def flush(self, seconds: float) -> None:
        """Before this process ends: wait up to ``seconds`` until the kernel has everything."""
        self._channel.flush(seconds)

    def pause_reading(self, who: object = None) -> None:
        """Leave what arrives in the kernel, so that the sender feels it; until each ``who`` that paused has resumed."""
        self._pausing.add(who)
        self._channel.pause_reading()

    def resume_reading(self, who: object = None) -> None:
        """Undo :meth:`pause_reading`."""
        self._pausing.discard(who)
        if not self._pausing:
            self._channel.resume_reading()

    def interpose(self, faults: MessageFaults) -> None:
        """Under test: see :meth:`Channel.interpose`."""
        self._channel.interpose(faults)

    # --- sending -------------------------------------------------------------------------------

    def send(
        self,
        message: Message,
        handle: Handle,
        keep_open: bool,
        callback: SendCallback | None,
        report: Callable[[ClusterError], None],
        payload: bytes | None = None,
    ) -> bool:
        """Encode and send a message.

        Args:
            message: anything that the serializer can carry; JSON unless ``serialization`` was set.
            handle: a connected socket, a listening server or a UDP socket to pass along, or ``None``.
            keep_open: a connected socket stays usable on this side too; otherwise it is closed here.
            callback: called with ``None`` once the message is written, or with the error.
            report: told of the error when there is no callback (Node: the ``error`` event).
            payload: the message, if it is encoded already.

        Returns:
            ``False`` when the channel is closed or at its bound (then the message was *not* taken), or when at least
            128 KiB wait, or another message waits already behind a handle (then it was).

        Raises:
            MessageNotSerializable, MessageTooLarge, HandleNotPassable: nothing was sent.
        """
        payload = encode_payload(message, self._limit, self.serializer, payload)
        try:
            if handle is None and self._descriptors.under_way is None:  # as nearly always
                return self._channel.send(encode_frame(_MESSAGE, payload), callback)
            if handle is not None and self._channel.is_open:
                self._descriptors.check(HEADER.size + 1 + len(payload))
                passed = passed_descriptor(handle, keep_open)  # last: a failure must not cost the sender its socket
                if passed is not None:
                    frame = encode_frame(FrameKind.HANDLE, passed.kind.value + payload)
                    return self._descriptors.send(frame, callback, passed.fd)
            return self._descriptors.send(encode_frame(_MESSAGE, payload), callback, None)
        except (ChannelClosed, ChannelFull) as error:
            if callback is None:
                report(error)
            else:
                self._channel.tell(callback, error)
            return False

    def send_request(self, number: int, message: Message, callback: SendCallback) -> None:
        """Send a request, in order with messages; ``callback`` hears whether it was written.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        self._send_behind(encode_asked(number, message, self._limit, self.serializer), callback)

    def send_reply(self, number: int, is_met: bool, value: Message) -> bool:
        """Send the reply to a request; return whether the channel took it.

        Raises:
            MessageNotSerializable, MessageTooLarge: nothing was sent.
        """
        frame = encode_reply(number, is_met, value, self._limit, self.serializer)
        refusal = self._descriptors.refusal(len(frame))
        if refusal is None:
            self._send_behind(frame, lambda _: None)
        return refusal is None

    def _send_behind(self, frame: bytes, callback: SendCallback) -> None:
        try:
            self._descriptors.send(frame, callback, None)
        except (ChannelClosed, ChannelFull) as error:
            self._channel.tell(callback, error)

    def send_own(self, frame: bytes) -> None:
        """Send a frame of the runtime's at once: it may overtake messages that wait behind a handle."""
        self._channel.send_own(frame)

    def send_in_order(self, frame: bytes) -> None:
        """Send a frame of the runtime's that must not overtake messages."""
        if self._descriptors.under_way is None:
            self._channel.send_own(frame)
        else:
            self._descriptors.wait(frame)

    def post(self, frame: bytes, callback: SendCallback) -> None:
        """Send a frame of a capability's, in order with messages; ``callback`` hears whether it was written."""
        self._send_behind(frame, callback)

    def forward(self, frame: bytes, bound: int | None) -> bool:
        """Send what another worker has for this one.

        Args:
            frame: encoded.
            bound: bytes that may wait already; ``None``: however many.

        Returns:
            Whether it was taken; where the channel is closed nobody misses it.
        """
        if bound is not None and self._channel.queued_bytes > bound:
            return False
        self._channel.send_own(frame)
        return True

    @property
    def queued_bytes(self) -> int:
        """Bytes that wait because the receiver has not read them."""
        return self._channel.queued_bytes

    def offer(self, frame: bytes, most: int) -> bool:
        """Send a frame of the runtime's, unless the receiver is slow; see :meth:`Channel.offer`."""
        return self._channel.offer(frame, most)

    def answer(self, frame: bytes, fd: int | None = None) -> None:
        """Send what the peer has asked for; see :meth:`Channel.answer`."""
        self._channel.answer(frame, fd)

    # --- what the receiver says of a descriptor --------------------------------------------------

    def taken(self) -> None:
        """See :meth:`DescriptorQueue.taken`."""
        self._descriptors.taken()

    def not_taken(self) -> None:
        """See :meth:`DescriptorQueue.not_taken`."""
        self._descriptors.not_taken()

    def closed(self) -> None:
        """The channel is closed: let go of every descriptor, tell every callback."""
        self._descriptors.closed()

    # --- receiving -----------------------------------------------------------------------------

    def confirm(self, frame: Frame) -> bool:
        """Tell the sender of a HANDLE frame whether its descriptor has arrived; return that."""
        self._channel.answer(_NOT_TAKEN if frame.fd is None else _TAKEN)
        return frame.fd is not None

    def message_of(self, frame: Frame) -> Message:
        """Return the message of a frame, and leave its descriptor alone.

        Raises:
            FrameError: it holds no message.
        """
        serializer = PACKED if frame.kind is FrameKind.CALL else self.serializer
        return serializer.decode(frame.payload[frame.kind is FrameKind.HANDLE :])

    def open(self, frame: Frame, serves: Callable[[], bool] = lambda: True) -> tuple[Message, Handle]:
        """Return the message of a frame, and the handle that came with it or ``None``; of a CALL it is MessagePack.

        Args:
            frame: what arrived; its descriptor goes to the handle, or is closed.
            serves: whether this process can have servers; where not, one arrives as its plain socket.

        Raises:
            FrameError: it holds no message.
        """
        if frame.kind is FrameKind.CALL:
            return self.message_of(frame), None
        if frame.fd is None:
            return self.serializer.decode(frame.payload), None
        try:
            message = self.serializer.decode(frame.payload[1:])
        except FrameError:
            let_go(frame.fd)
            raise
        return message, unpack(frame.payload[:1], frame.fd, serves())
