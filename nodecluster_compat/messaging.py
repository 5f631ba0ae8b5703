"""Sending a user's message: the same on both sides of a channel (Node: one function, ``send``)."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

from .channel import Channel, SendCallback
from .codec import encode_message
from .errors import ChannelClosed, ChannelFull, ClusterError

__all__ = ["send_message"]


def send_message(
    channel: Channel,
    message: Any,
    handle: None,
    callback: SendCallback | None,
    report: Callable[[ClusterError], None],
) -> bool:
    """Encode and send a message.

    Args:
        channel: where it goes.
        message: anything JSON can carry; see :func:`nodecluster_compat.codec.encode_message`.
        handle: reserved for descriptors; must be ``None``.
        callback: called with ``None`` once the message is written, or with the error.
        report: told of the error when there is no callback (Node: the ``error`` event).

    Returns:
        ``False`` when the channel is closed or at its bound (then the message was *not* taken), or when at least
        128 KiB wait (then it was).

    Raises:
        MessageNotSerializable, MessageTooLarge: nothing was sent.
        TypeError: a handle was given.
    """
    if handle is not None:
        raise TypeError(f"expected None as handle, got {type(handle).__name__}: handles cannot be sent yet")
    frame = encode_message(message)
    try:
        return channel.send(frame, callback)
    except (ChannelClosed, ChannelFull) as error:
        report(error)
        return False
