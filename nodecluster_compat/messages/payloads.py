"""Encode and decode the payload of each kind of frame: messages, and the runtime's own traffic.

A message is JSON, as in Node's default serialization, or what the line's serializer makes of it.  What a worker
sends is checked here, field by field, before anybody acts on it.  No sockets.
"""

from __future__ import annotations

from typing import Any, Final

import msgspec

from ..base.drain_timeout import is_timeout
from ..base.records import Address, ListenAnswer, ListenRequest, Message
from ..errors import FrameError, MessageTooLarge
from .frames import MAX_MESSAGE_BYTES, FrameKind, encode_frame
from .serialization import JSON, Serializer

__all__ = [
    "decode_address",
    "decode_answer",
    "decode_closed",
    "decode_disconnect",
    "decode_request",
    "encode_address",
    "encode_answer",
    "encode_closed",
    "encode_disconnect",
    "encode_payload",
    "encode_request",
]

_MOST_DIGITS: Final = 10
_MOST_PORT: Final = 65535
_INT32: Final = range(-(2**31), 2**31)


class _ListeningPayload(msgspec.Struct, frozen=True):
    listener: int
    address: str | None
    port: int
    type: int | str | None
    fd: int | None = None


class _AnswerPayload(msgspec.Struct, frozen=True):
    request_id: int
    errno: int
    listener_id: int
    family: int
    name: list[Any] | str


def encode_payload(
    message: Message, limit: int = MAX_MESSAGE_BYTES, serializer: Serializer = JSON, payload: bytes | None = None
) -> bytes:
    """Return a user's message as bytes.

    Args:
        message: anything that ``serializer`` can carry.
        limit: the largest encoded message in bytes.
        serializer: of this line.
        payload: the message as bytes, if it is encoded already.

    Raises:
        MessageNotSerializable: it holds something else, or refers to itself.
        MessageTooLarge: it is over ``limit`` once encoded.
    """
    if payload is None:
        payload = serializer.encode(message)
    if len(payload) > limit:
        raise MessageTooLarge(
            f"expected a message of at most {limit} bytes once encoded, got {len(payload)}: send it in parts"
        )
    return payload


def encode_address(listener_id: int, address: Address) -> bytes:
    """Return the frame that says that a worker serves a listener."""
    payload = _ListeningPayload(listener_id, address.address, address.port, address.address_type, address.fd)
    return encode_frame(FrameKind.LISTENING, msgspec.json.encode(payload))


def decode_address(payload: bytes | bytearray) -> tuple[int, Address]:
    """Return the listener's id and the address from the payload of a LISTENING frame.

    Raises:
        FrameError: the payload is something else.
    """
    try:
        said = msgspec.json.decode(payload, type=_ListeningPayload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"a listening frame does not hold an address: {error}") from error
    if said.type not in (4, 6, -1, "udp4", "udp6", None):
        raise FrameError(f"a listening frame names an unknown address type: {said.type!r:.40}")
    return said.listener, Address(said.address, said.port, said.type, said.fd)  # type: ignore[arg-type]


def encode_request(request_id: int, request: ListenRequest) -> bytes:
    """Return the frame by which a worker asks for a listening socket."""
    return encode_frame(FrameKind.QUERY, msgspec.json.encode((request_id, request)))


def decode_request(payload: bytes | bytearray) -> tuple[int, ListenRequest]:
    """Return the worker's number for its request, and the request.

    Raises:
        FrameError: the payload is something else.
    """
    try:
        request_id, request = msgspec.json.decode(payload, type=tuple[int, ListenRequest])
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"a query frame does not hold a request to listen: {error}") from error
    numbers = (request.port, request.backlog, request.ordinal, request.fd or 0)
    if not all(number in _INT32 for number in numbers) or request.port > _MOST_PORT or "\0" in (request.address or ""):
        raise FrameError("a query frame asks for an address, backlog or descriptor that cannot be")
    return request_id, request


def encode_closed(listener_id: int) -> bytes:
    """Return the frame by which a worker lets go of a listening socket."""
    return encode_frame(FrameKind.CLOSED, b"%d" % listener_id)


def decode_closed(payload: bytes | bytearray) -> int:
    """Return the number of the socket.

    Raises:
        FrameError: the payload is something else.
    """
    if not payload.isdigit() or len(payload) > _MOST_DIGITS:
        raise FrameError(f"a closed frame does not hold a number: {payload[:16]!r}")
    return int(payload)


def encode_disconnect(timeout: float | None) -> bytes:
    """Return the frame that tells a worker to leave, within ``timeout`` seconds or (``None``) its usual limit."""
    return encode_frame(FrameKind.DISCONNECT, b"" if timeout is None else msgspec.json.encode(timeout))


def decode_disconnect(payload: bytes | bytearray) -> float | None:
    """Return the seconds that the drain may take; ``None``: as long as usual.

    Raises:
        FrameError: the payload is something else.
    """
    if not payload:
        return None
    try:
        seconds = msgspec.json.decode(payload, type=float)
    except (msgspec.MsgspecError, ValueError) as error:
        raise FrameError(f"a disconnect frame does not hold a number of seconds: {error}") from error
    if not is_timeout(seconds):
        raise FrameError(f"a disconnect frame holds no number of seconds that a drain can have: {seconds!r}")
    return seconds


def encode_answer(answer: ListenAnswer, kind: FrameKind = FrameKind.ANSWER) -> bytes:
    """Return the frame of the primary's answer."""
    return encode_frame(kind, msgspec.json.encode(answer))


def decode_answer(payload: bytes | bytearray) -> ListenAnswer:
    """Return the primary's answer to a request.

    Raises:
        FrameError: the payload is something else.
    """
    try:
        said = msgspec.json.decode(payload, type=_AnswerPayload)
    except (msgspec.MsgspecError, ValueError, RecursionError) as error:
        raise FrameError(f"an answer frame does not hold an answer: {error}") from error
    name: Any = tuple(said.name) if isinstance(said.name, list) else said.name
    return ListenAnswer(said.request_id, said.errno, said.listener_id, said.family, name)
