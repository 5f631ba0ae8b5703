"""Encode and decode what goes through the exchange: from one worker, by way of the primary, to others.  No sockets.

join    = topic
members = length of the topic (1 byte) · topic · the members' ids (4 bytes each, big endian)
post    = whom it is for (4 bytes; 0: all other members) · length of the topic (1 byte) · topic · body
posted  = who sent it (4 bytes) · the rest of the post

The primary forwards a post without looking at its body: it copies the bytes behind the first four.
"""

from __future__ import annotations

import struct
from collections.abc import Collection
from typing import Final

from msgspec import Struct

from ..errors import ArgumentError, FrameError, MessageTooLarge
from .frames import FrameKind, encode_frame

__all__ = [
    "ALL_OTHERS",
    "POST_OVERHEAD",
    "Post",
    "checked_topic",
    "decode_join",
    "decode_members",
    "decode_post",
    "encode_join",
    "encode_members",
    "encode_post",
    "forwarded",
]

ALL_OTHERS: Final = 0
"""In the place of a worker's id: every other member."""

_MOST_TOPIC_BYTES: Final = 255
_POST: Final = struct.Struct("!IB")
POST_OVERHEAD: Final = _POST.size + _MOST_TOPIC_BYTES
"""Bytes that a post takes beside its body, at most."""

_UINT32: Final = range(2**32)


class Post(Struct, frozen=True, gc=False):
    """What a worker has sent, or was sent.

    Attributes:
        peer: whom it is for, or who sent it.
        topic: what it belongs to.
        body: whatever the members of the topic understand.
    """

    peer: int
    topic: bytes
    body: bytes


def checked_topic(name: str) -> bytes:
    """Return a topic's name as it travels.

    Raises:
        ArgumentError: it is empty or too long.
    """
    topic = name.encode()
    if not 0 < len(topic) <= _MOST_TOPIC_BYTES:
        raise ArgumentError(f"expected a topic of 1 to {_MOST_TOPIC_BYTES} bytes, got {len(topic)}")
    return topic


def encode_join(topic: bytes) -> bytes:
    """Return the frame that takes part in a topic."""
    return encode_frame(FrameKind.JOIN, topic)


def decode_join(payload: bytes | bytearray) -> bytes:
    """Return the topic.

    Raises:
        FrameError: it is empty or too long.
    """
    if not 0 < len(payload) <= _MOST_TOPIC_BYTES:
        raise FrameError(f"expected a topic of 1 to {_MOST_TOPIC_BYTES} bytes, got {len(payload)}")
    return bytes(payload)


def encode_members(topic: bytes, members: Collection[int]) -> bytes:
    """Return the frame that says who takes part."""
    return encode_frame(
        FrameKind.MEMBERS, bytes([len(topic)]) + topic + struct.pack(f"!{len(members)}I", *sorted(members))
    )


def decode_members(payload: bytes | bytearray) -> tuple[bytes, frozenset[int]]:
    """Return the topic, and the ids of its members.

    Raises:
        FrameError: the payload is something else.
    """
    begin = 1 + payload[0] if payload else 1
    count, rest = divmod(len(payload) - begin, 4)
    if begin == 1 or count < 0 or rest:
        raise FrameError(f"a frame of {len(payload)} bytes names no members of a topic")
    return bytes(payload[1:begin]), frozenset(struct.unpack_from(f"!{count}I", payload, begin))


def encode_post(target: int, topic: bytes, body: bytes, limit: int) -> bytes:
    """Return the frame of a post.

    Args:
        target: the id of a member, or :data:`ALL_OTHERS`.
        topic: what it belongs to.
        body: any bytes.
        limit: the largest payload in bytes.

    Raises:
        ArgumentError: no worker has such an id; nothing can be sent.
        MessageTooLarge: the body is over the limit.
    """
    if target not in _UINT32:
        raise ArgumentError(f"expected the id of a worker, got {target}")
    payload = _POST.pack(target, len(topic)) + topic + body
    if len(payload) > limit:
        raise MessageTooLarge(f"the message has {len(payload)} bytes once encoded, the limit is {limit}")
    return encode_frame(FrameKind.POST, payload)


def decode_post(payload: bytes | bytearray) -> Post:
    """Return what a POST or a POSTED frame holds.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _POST.size:
        raise FrameError(f"a post of {len(payload)} bytes names no topic")
    peer, length = _POST.unpack_from(payload)
    begin = _POST.size + length
    if not length or len(payload) < begin:
        raise FrameError(f"a post of {len(payload)} bytes names no topic")
    return Post(peer, bytes(payload[_POST.size : begin]), bytes(payload[begin:]))


def forwarded(sender: int, payload: bytes | bytearray) -> bytes:
    """Return the POSTED frame for the payload of a POST."""
    return encode_frame(FrameKind.POSTED, struct.pack("!I", sender) + payload[4:])
