"""Frames on the message channel: bytes in, frames out.  No sockets.

    frame   = length (4 bytes, big endian, of the payload) · kind (1 byte) · payload

A message is JSON, as in Node's default serialization.  Every other kind is the runtime's own traffic;
it has a kind of its own instead of a reserved key inside user messages (Node: ``cmd: 'NODE_…'``), so no
user message can be taken for it or vanish because of its content.

The decoder trusts nobody: a length over the limit or an unknown kind raises before a byte of payload
is kept, and memory grows only with bytes that really arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from .errors import FrameError, MessageNotSerializable, MessageTooLarge
from .records import Address

__all__ = [
    "MAX_MESSAGE_BYTES",
    "Frame",
    "FrameDecoder",
    "FrameKind",
    "decode_address",
    "decode_message",
    "encode_address",
    "encode_frame",
    "encode_message",
]

MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""The largest encoded message.  Node has no limit; Erlang's ports and Redis' bulk strings stop at 512 MiB."""

HEADER: Final = struct.Struct("!IB")


class FrameKind(IntEnum):
    """What a frame is; the direction in brackets (P primary, W worker)."""

    MESSAGE = 1  # [both] a user's message
    ONLINE = 2  # [W→P] the worker's runtime is up, before any application code
    LISTENING = 3  # [W→P] serves one listener: its id and address
    DISCONNECT = 4  # [P→W] finish what is in flight, then close the channel
    LEAVING = 5  # [W→P] the worker ends by its own wish: exited_after_disconnect becomes true


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One decoded frame; ``payload`` is still encoded."""

    kind: FrameKind
    payload: bytes


class _ListeningPayload(msgspec.Struct, frozen=True):
    listener: int
    address: str | None
    port: int
    type: int | str
    fd: int | None = None


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(len(payload), kind) + payload


def encode_message(message: Any, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return the frame of a user's message.

    Args:
        message: anything JSON can carry: ``None``, bool, int, float, str, list, tuple, dict with string
            keys.  Values that msgspec maps to JSON (datetime, bytes as base64, dataclasses, sets as
            arrays) arrive as their JSON form.
        limit: the largest encoded message in bytes.

    Raises:
        MessageNotSerializable: it holds something else, or refers to itself.
        MessageTooLarge: it is over ``limit`` once encoded.
    """
    try:
        payload = msgspec.json.encode(message)
    except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
        reason = "it refers to itself or is nested too deeply" if isinstance(error, RecursionError) else error
        raise MessageNotSerializable(
            "expected a message that JSON can carry (None, bool, number, str, list, dict), "
            f"got {type(message).__name__}: {reason}"
        ) from error
    if len(payload) > limit:
        raise MessageTooLarge(
            f"expected a message of at most {limit} bytes once encoded, got {len(payload)}: send it in parts"
        )
    return encode_frame(FrameKind.MESSAGE, payload)


def decode_message(payload: bytes) -> Any:
    """Return the user's message.

    Raises:
        FrameError: the payload is not JSON.
    """
    try:
        return msgspec.json.decode(payload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"a message frame does not hold JSON: {error}") from error


def encode_address(listener_id: int, address: Address) -> bytes:
    """Return the frame that says that a worker serves a listener."""
    payload = _ListeningPayload(listener_id, address.address, address.port, address.address_type, address.fd)
    return encode_frame(FrameKind.LISTENING, msgspec.json.encode(payload))


def decode_address(payload: bytes) -> tuple[int, Address]:
    """Return the listener's id and the address from the payload of a LISTENING frame.

    Raises:
        FrameError: the payload is something else.
    """
    try:
        said = msgspec.json.decode(payload, type=_ListeningPayload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"a listening frame does not hold an address: {error}") from error
    if said.type not in (4, 6, -1, "udp4", "udp6"):
        raise FrameError(f"a listening frame names an unknown address type: {said.type!r}")
    return said.listener, Address(said.address, said.port, said.type, said.fd)  # type: ignore[arg-type]


class FrameDecoder:
    """Cuts a stream of bytes into frames.

    Args:
        limit: the largest payload in bytes; a longer one raises as soon as its header is seen.
    """

    __slots__ = ("_buffer", "_limit")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES) -> None:
        self._buffer = bytearray()
        self._limit = limit

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._buffer)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete once ``data`` has been added.

        Raises:
            FrameError: these bytes are not frames; the stream is of no use any more.
        """
        buffer = self._buffer
        buffer += data
        start = 0
        try:
            while len(buffer) - start >= HEADER.size:
                length, number = HEADER.unpack_from(buffer, start)
                kind = self._check(length, number)
                end = start + HEADER.size + length
                if len(buffer) < end:
                    break
                payload = bytes(memoryview(buffer)[start + HEADER.size : end])
                start = end
                yield Frame(kind, payload)
        finally:
            del buffer[:start]

    def _check(self, length: int, number: int) -> FrameKind:
        if length > self._limit:
            raise FrameError(f"a frame announces {length} bytes, the limit is {self._limit}")
        try:
            return FrameKind(number)
        except ValueError:
            raise FrameError(f"a frame has the unknown kind {number}") from None
