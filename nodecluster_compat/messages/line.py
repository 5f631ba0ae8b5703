"""Sending and receiving a user's message: the same on both sides of a channel (Node: one function, ``send``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from ..errors import ChannelClosed, ChannelFull, ClusterError, FrameError
from ..machine.letting_go import let_go
from .channel import Channel, SendCallback
from .handle_sender import HandleSender
from .passing import passage_of, unpack
from .payloads import MAX_MESSAGE_BYTES, Frame, encode_handle, encode_message
from .serialization import Serializer

__all__ = ["receive_message", "send_message"]


def send_message(
    channel: Channel,
    sender: HandleSender,
    serializer: Serializer,
    message: Any,
    handle: Any,
    keep_open: bool,
    callback: SendCallback | None,
    report: Callable[[ClusterError], None],
    limit: int = MAX_MESSAGE_BYTES,
) -> bool:
    """Encode and send a message.

    Args:
        channel: where it goes.
        sender: of that channel.
        serializer: of that channel.
        message: anything that ``serializer`` can carry; JSON unless ``serialization`` was set.
        handle: a connected socket, a listening server or a UDP socket to pass along, or ``None``.
        keep_open: a connected socket stays usable on this side too; otherwise it is closed here.
        callback: called with ``None`` once the message is written, or with the error.
        report: told of the error when there is no callback (Node: the ``error`` event).
        limit: the largest message that the receiver takes, in bytes once encoded.

    Returns:
        ``False`` when the channel is closed or at its bound (then the message was *not* taken), or when at least
        128 KiB wait, or another message waits already behind a handle (then it was).

    Raises:
        MessageNotSerializable, MessageTooLarge, HandleNotPassable: nothing was sent.
    """
    frame, fd = encode_message(message, limit, serializer), None
    try:
        if handle is not None and channel.is_open:
            sender.check(len(frame))
            frame, fd = _with_handle(frame, message, handle, keep_open, serializer)
        if fd is None and not sender.is_waiting:
            return channel.send(frame, callback)
        return sender.send(frame, callback, fd)
    except (ChannelClosed, ChannelFull) as error:
        if callback is None:
            report(error)
        else:
            channel.tell(callback, error)
        return False


def receive_message(frame: Frame, serializer: Serializer, serves: Callable[[], bool] = lambda: True) -> tuple[Any, Any]:
    """Return the message of a frame, and the handle that came with it or ``None``.

    Args:
        frame: what arrived; its descriptor goes to the handle, or is closed.
        serializer: of that channel.
        serves: whether this process can have servers; where not, one arrives as its plain socket.

    Raises:
        FrameError: it holds no message.
    """
    if frame.fd is None:
        return serializer.decode(frame.payload), None
    try:
        message = serializer.decode(frame.payload[1:])
    except FrameError:
        let_go(frame.fd)
        raise
    return message, unpack(frame.payload[:1], frame.fd, serves())


def _with_handle(
    plain: bytes, message: Any, handle: Any, keep_open: bool, serializer: Serializer
) -> tuple[bytes, int | None]:
    """Last of all: a message that cannot be sent must not cost the sender its socket."""
    passage = passage_of(handle, keep_open)
    if passage is None:
        return plain, None
    return encode_handle(message, passage.kind.value, serializer), passage.fd
