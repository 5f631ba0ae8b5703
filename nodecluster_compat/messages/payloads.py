"""Frames on the message channel: bytes in, frames out.  No sockets.

    frame   = length (4 bytes, big endian, of the payload) · kind (1 byte) · payload

A message is JSON, as in Node's default serialization, or what the channel's serializer makes of it.  Every other kind
is the runtime's own traffic; it has a kind of its own instead of a reserved key inside user messages (Node:
``cmd: 'NODE_…'``), so no user message can be taken for it or vanish because of its content.

The decoder trusts nobody: a length over the limit or an unknown kind raises before a byte of payload
is kept, and memory grows only with bytes that really arrived.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Any, Final

import msgspec

from ..base.drain_timeout import is_timeout
from ..base.records import Address, ListenAnswer, ListenRequest
from ..errors import FrameError, MessageTooLarge
from .serialization import JSON, Serializer

__all__ = [
    "CARRIES_DESCRIPTOR",
    "LARGE_BYTES",
    "MAX_MESSAGE_BYTES",
    "Frame",
    "FrameDecoder",
    "FrameKind",
    "decode_address",
    "decode_answer",
    "decode_closed",
    "decode_disconnect",
    "decode_request",
    "encode_address",
    "encode_answer",
    "encode_closed",
    "encode_disconnect",
    "encode_frame",
    "encode_handle",
    "encode_message",
    "encode_request",
]

MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""The largest encoded message.  Node has no limit; Erlang's ports and Redis' bulk strings stop at 512 MiB."""

LARGE_BYTES: Final = 16 * 1024
"""From here on a frame is *large*: read in larger slices, and collected instead of cut out."""

HEADER: Final = struct.Struct("!IB")
_HEADER_BYTES: Final = HEADER.size
_read_header: Final = HEADER.unpack_from
_MOST_DIGITS: Final = 10
_MOST_PORT: Final = 65535
_INT32: Final = range(-(2**31), 2**31)


class FrameKind(IntEnum):
    """What a frame is; the direction in brackets (P primary, W worker)."""

    MESSAGE = 1  # [both] a user's message
    ONLINE = 2  # [W→P] the worker's runtime is up, before any application code
    LISTENING = 3  # [W→P] serves one listener: its id and address
    DISCONNECT = 4  # [P→W] finish what is in flight, in so many seconds if it says so, then close the channel
    LEAVING = 5  # [W→P] the worker ends by its own wish: exited_after_disconnect becomes true
    QUERY = 6  # [W→P] script mode: asks for a listening socket
    ANSWER = 7  # [P→W] its number and address, or why not; the primary accepts on it
    SHARED = 8  # [P→W] as ANSWER, with a descriptor: the worker accepts or receives by itself
    HANDLE = 9  # [both] a user's message, with a descriptor
    TAKEN = 10  # [both] the descriptor of the last HANDLE has arrived
    NOT_TAKEN = 11  # [both] it has not: send it again
    CLOSED = 12  # [W→P] a server is closed: the number of its socket; before any QUERY for the same address
    DUE = 13  # [W→P] it has served as many requests as it should: it serves on until it is told to leave

    __hash__ = int.__hash__  # an enumeration's own is a function in Python


_KINDS: Final = {kind.value: kind for kind in FrameKind}

CARRIES_DESCRIPTOR: Final = frozenset({FrameKind.SHARED, FrameKind.HANDLE})
"""The kinds whose first byte has one descriptor beside it."""


class Frame(msgspec.Struct, frozen=True, gc=False):
    """One decoded frame; ``payload`` is still encoded.

    ``fd`` is the descriptor that came with it: the receiver's to close, ``None`` when there was no room for it.
    """

    kind: FrameKind
    payload: bytes | bytearray
    fd: int | None = None


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


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(len(payload), kind) + payload


def encode_message(message: Any, limit: int = MAX_MESSAGE_BYTES, serializer: Serializer = JSON) -> bytes:
    """Return the frame of a user's message.

    Args:
        message: anything that ``serializer`` can carry.
        limit: the largest encoded message in bytes.
        serializer: of this channel.

    Raises:
        MessageNotSerializable: it holds something else, or refers to itself.
        MessageTooLarge: it is over ``limit`` once encoded.
    """
    payload = _encoded(message, limit, serializer)
    return HEADER.pack(len(payload), FrameKind.MESSAGE) + payload


def encode_handle(message: Any, kind: bytes, serializer: Serializer = JSON, limit: int = MAX_MESSAGE_BYTES) -> bytes:
    """Return the frame of a message that has a descriptor of ``kind`` (one byte) beside it; as the above."""
    return encode_frame(FrameKind.HANDLE, kind + _encoded(message, limit, serializer))


def _encoded(message: Any, limit: int, serializer: Serializer) -> bytes:
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


class FrameDecoder:
    """Cuts a stream of bytes into frames.

    A small frame is cut out of the bytes that brought its end.  A large one is collected in a buffer of its own, which
    becomes its payload: what has arrived of it is neither searched nor moved again.

    Args:
        limit: the largest payload in bytes; a longer one raises as soon as its header is seen.
        large: from how many bytes on a payload that is not complete is collected.
    """

    __slots__ = ("_kind", "_large", "_limit", "_missing", "_payload", "_rest")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES, large: int = LARGE_BYTES) -> None:
        self._limit = limit
        self._large = large
        self._rest = b""  # the beginning of a frame, or what its reader has not asked for yet
        self._payload: bytearray | None = None  # of the large frame that is under way
        self._kind = FrameKind.MESSAGE
        self._missing = 0

    @property
    def buffered(self) -> int:
        """Bytes of a frame that is not complete yet."""
        return len(self._rest) + (0 if self._payload is None else HEADER.size + len(self._payload))

    @property
    def missing(self) -> int:
        """How many bytes of a large frame are still to come."""
        return self._missing

    def collect(self, piece: memoryview) -> tuple[Frame, ...]:
        """Add at most :attr:`missing` bytes to the large frame that is under way; return it once it is complete."""
        payload = self._payload
        assert payload is not None
        payload += piece
        self._missing -= len(piece)
        if self._missing:
            return ()
        self._payload = None
        return (Frame(self._kind, payload),)

    def feed(self, data: bytes) -> Iterator[Frame]:
        """Yield the frames that are complete once ``data`` has been added.

        Raises:
            FrameError: these bytes are not frames; the stream is of no use any more.
        """
        start = 0
        collected: tuple[Frame, ...] = ()
        if self._payload is not None:
            start = min(self._missing, len(data))
            collected = self.collect(memoryview(data)[:start])
        elif self._rest:
            data = self._rest + data
            self._rest = b""
        try:
            yield from collected
            end = len(data)
            while end - start >= _HEADER_BYTES:
                length, number = _read_header(data, start)
                kind = _KINDS.get(number)
                if kind is None or length > self._limit:
                    raise self._refusal(length, number)
                begin = start + _HEADER_BYTES
                if end - begin < length:
                    if length >= self._large:
                        self._payload, self._kind = bytearray(data[begin:]), kind
                        self._missing, start = length - (end - begin), end
                    break
                start = begin + length
                yield Frame(kind, data[begin:start])
        finally:
            self._rest = data[start:]

    def _refusal(self, length: int, number: int) -> FrameError:
        if length > self._limit:
            return FrameError(f"a frame announces {length} bytes, the limit is {self._limit}")
        return FrameError(f"a frame has the unknown kind {number}")
