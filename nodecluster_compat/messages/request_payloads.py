"""Encode and decode requests and replies: a number that pairs them, and a message.  No sockets.

request = number (8 bytes, big endian) · message
reply   = number (8 bytes, big endian) · 1 if it was met, else 0 (1 byte) · message
"""

from __future__ import annotations

import struct
from typing import Final

from ..base.records import Message
from ..errors import FrameError
from .frames import MAX_MESSAGE_BYTES, FrameKind, encode_frame
from .payloads import encode_payload
from .serialization import JSON, Serializer

__all__ = ["decode_asked", "decode_reply", "encode_asked", "encode_reply"]

_ASKED: Final = struct.Struct("!Q")
_REPLY: Final = struct.Struct("!QB")


def encode_asked(number: int, message: Message, limit: int = MAX_MESSAGE_BYTES, serializer: Serializer = JSON) -> bytes:
    """Return the frame of a request.

    Raises:
        MessageNotSerializable, MessageTooLarge: the message cannot be sent.
    """
    payload = encode_payload(message, limit - _ASKED.size, serializer)
    return encode_frame(FrameKind.REQUEST, _ASKED.pack(number) + payload)


def decode_asked(payload: bytes | bytearray, serializer: Serializer = JSON) -> tuple[int, Message]:
    """Return the number and the message of a request.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _ASKED.size:
        raise FrameError(f"a request frame of {len(payload)} bytes holds no number")
    (number,) = _ASKED.unpack_from(payload)
    return number, serializer.decode(payload[_ASKED.size :])


def encode_reply(
    number: int, is_met: bool, value: Message, limit: int = MAX_MESSAGE_BYTES, serializer: Serializer = JSON
) -> bytes:
    """Return the frame of a reply.

    Raises:
        MessageNotSerializable, MessageTooLarge: the value cannot be sent.
    """
    payload = encode_payload(value, limit - _REPLY.size, serializer)
    return encode_frame(FrameKind.REPLY, _REPLY.pack(number, is_met) + payload)


def decode_reply(payload: bytes | bytearray, serializer: Serializer = JSON) -> tuple[int, bool, Message]:
    """Return the number of the request, whether it was met, and the value.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _REPLY.size:
        raise FrameError(f"a reply frame of {len(payload)} bytes holds no number")
    number, is_met = _REPLY.unpack_from(payload)
    if is_met not in (0, 1):
        raise FrameError(f"a reply frame says neither that the request was met nor that it was not: {is_met}")
    return number, bool(is_met), serializer.decode(payload[_REPLY.size :])
