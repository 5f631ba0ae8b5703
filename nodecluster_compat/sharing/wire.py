"""Encode and decode what the sharing of a cluster sends over message channels.  No sockets.

    PUBLISH = length of the topic (2 bytes) · topic · message
    CALL    = number (8 bytes) · length of the verb (1 byte) · verb · arguments
    RETURN  = number (8 bytes) · 1 if it was done, else 0 (1 byte) · value, or cause and reason

Numbers are big endian; a CALL with number 0 wants no RETURN.  Messages, arguments and values are MessagePack: unlike
JSON it carries bytes, and the primary passes it on without a look.
"""

from __future__ import annotations

import struct
from typing import Any, Final

import msgspec

from ..errors import FrameError, MessageNotSerializable, MessageTooLarge
from ..messages.frames import FrameKind, encode_frame

__all__ = [
    "MOST_BYTES",
    "NO_RETURN",
    "decode",
    "decode_by",
    "decode_call",
    "decode_publish",
    "decode_return",
    "encode",
    "encode_call",
    "encode_publication",
    "encode_publish",
    "encode_return",
]

MOST_BYTES: Final = 1024 * 1024
"""The largest message, argument list or answer, in bytes once encoded."""

NO_RETURN: Final = 0

_LENGTH: Final = struct.Struct("!H")
_CALL: Final = struct.Struct("!QB")
_RETURN: Final = struct.Struct("!QB")
_UNDECODABLE: Final = (msgspec.MsgspecError, ValueError, RecursionError)
_UNENCODABLE: Final = (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError)


def encode(value: object, what: str = "a message", limit: int = MOST_BYTES) -> bytes:
    """Return a value as MessagePack.

    Args:
        value: anything that MessagePack can carry.
        what: what it is, for the sentence of an error.
        limit: the largest result, in bytes.

    Raises:
        MessageNotSerializable: it holds what MessagePack cannot carry.
        MessageTooLarge: it is over the limit.
    """
    try:
        body = msgspec.msgpack.encode(value)
    except _UNENCODABLE as error:
        reason = "it refers to itself or is nested too deeply" if isinstance(error, RecursionError) else error
        raise MessageNotSerializable(
            f"expected {what} that MessagePack can carry (None, bool, number, str, bytes, list, dict), "
            f"got {type(value).__name__}: {reason}"
        ) from error
    if len(body) > limit:
        raise MessageTooLarge(f"expected {what} of at most {limit} bytes once encoded, got {len(body)}")
    return body


def decode(body: bytes | bytearray | msgspec.Raw, kind: Any = Any) -> Any:  # noqa: ANN401 - any type
    """Return the value of a body.

    Raises:
        FrameError: it is no MessagePack, or not of that kind.
    """
    try:
        return msgspec.msgpack.decode(body, type=kind)
    except _UNDECODABLE as error:
        raise _refusal(error) from error


def decode_by(decoder: msgspec.msgpack.Decoder[Any], body: bytes | bytearray) -> Any:  # noqa: ANN401 - any type
    """As :func:`decode`, by what was made once for a kind that comes often."""
    try:
        return decoder.decode(body)
    except _UNDECODABLE as error:
        raise _refusal(error) from error


def _refusal(error: Exception) -> FrameError:
    return FrameError(f"a frame of the sharing does not hold what it should: {error}")


def encode_publish(topic: str, body: bytes) -> bytes:
    """Return the frame that publishes an encoded message."""
    return encode_frame(FrameKind.PUBLISH, encode_publication(topic, body))


def encode_publication(topic: str, body: bytes) -> bytes:
    """Return the payload of that frame."""
    name = topic.encode()
    return _LENGTH.pack(len(name)) + name + body


def decode_publish(payload: bytes | bytearray) -> tuple[str, bytes | bytearray]:
    """Return topic and encoded message.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _LENGTH.size:
        raise FrameError(f"a frame that publishes has {len(payload)} bytes, and no topic")
    (length,) = _LENGTH.unpack_from(payload)
    end = _LENGTH.size + length
    return _text(payload, _LENGTH.size, end, "topic"), payload[end:]


def encode_call(number: int, verb: str, body: bytes) -> bytes:
    """Return the frame of a call."""
    name = verb.encode()
    return encode_frame(FrameKind.CALL, _CALL.pack(number, len(name)) + name + body)


def decode_call(payload: bytes | bytearray) -> tuple[int, str, bytes | bytearray]:
    """Return number, verb and encoded arguments.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _CALL.size:
        raise FrameError(f"a call of {len(payload)} bytes holds no number")
    number, length = _CALL.unpack_from(payload)
    end = _CALL.size + length
    return number, _text(payload, _CALL.size, end, "verb"), payload[end:]


def encode_return(number: int, is_done: bool, body: bytes) -> bytes:
    """Return the frame of an answer to a call."""
    return encode_frame(FrameKind.RETURN, _RETURN.pack(number, is_done) + body)


def decode_return(payload: bytes | bytearray) -> tuple[int, bool, bytes | bytearray]:
    """Return number, whether the call was done, and the encoded value, or cause and reason.

    Raises:
        FrameError: the payload is something else.
    """
    if len(payload) < _RETURN.size:
        raise FrameError(f"a return of {len(payload)} bytes holds no number")
    number, is_done = _RETURN.unpack_from(payload)
    if is_done > 1:
        raise FrameError(f"a return says neither that the call was done nor that it was not: {is_done}")
    return number, bool(is_done), payload[_RETURN.size :]


def _text(payload: bytes | bytearray, start: int, end: int, what: str) -> str:
    if not start < end <= len(payload):
        raise FrameError(f"a frame announces a {what} that it does not hold")
    try:
        return payload[start:end].decode()
    except UnicodeDecodeError as error:
        raise FrameError(f"a frame has a {what} that is no text") from error
