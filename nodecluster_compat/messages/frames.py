"""Cut a channel's stream of bytes into frames, and make frames of payloads.

    frame   = length (4 bytes, big endian, of the payload) · kind (1 byte) · payload

A message has a kind of its own, and every other kind is the runtime's own traffic, in place of a reserved key inside
user messages (Node: ``cmd: 'NODE_…'``): no user message can be taken for it or vanish because of its content.

The decoder trusts nobody: a length over the limit or an unknown kind raises before a byte of payload is kept, and
memory grows only with bytes that really arrived.  No sockets here.
"""

from __future__ import annotations

import struct
from collections.abc import Iterator
from enum import IntEnum
from typing import Final

import msgspec

from ..errors import FrameError

__all__ = [
    "CARRIES_DESCRIPTOR",
    "LARGE_BYTES",
    "MAX_MESSAGE_BYTES",
    "Frame",
    "FrameDecoder",
    "FrameKind",
    "encode_frame",
]

MAX_MESSAGE_BYTES: Final = 128 * 1024 * 1024
"""The largest encoded message.  Node has no limit; Erlang's ports and Redis' bulk strings stop at 512 MiB."""

LARGE_BYTES: Final = 16 * 1024
"""From here on a frame is *large*: read in larger slices, and collected instead of cut out."""

HEADER: Final = struct.Struct("!IB")

_HEADER_BYTES: Final = HEADER.size

_read_header: Final = HEADER.unpack_from


class FrameKind(IntEnum):
    """The kinds of frames; the direction in brackets (P primary, W worker)."""

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
    REQUEST = 14  # [both] a user's question: its number and a message
    REPLY = 15  # [both] the answer to the REQUEST of that number
    CLOSE_IDLE = 16  # [P→W] a worker that drains waits no longer for requests on idle connections
    PUBLISH = 17  # [both] a message for those who have subscribed to its topic
    CALL = 18  # [both] one capability of the sharing asks its other side: number, verb, arguments
    RETURN = 19  # [both] what the CALL of that number has come to

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


def encode_frame(kind: FrameKind, payload: bytes = b"") -> bytes:
    """Return the bytes of one frame."""
    return HEADER.pack(len(payload), kind) + payload


class FrameDecoder:
    """Cuts a stream of bytes into frames.

    A small frame is cut out of the bytes that brought its end.  A large one is collected in a buffer of its own, which
    becomes its payload: what has arrived of it is neither searched nor moved again.

    Args:
        limit: the largest payload in bytes; a longer one raises as soon as its header is seen.
        large: from how many bytes on a payload that is not complete is collected.
    """

    __slots__ = ("_kind", "_large", "_limit", "_payload", "_rest", "_size")

    def __init__(self, limit: int = MAX_MESSAGE_BYTES, large: int = LARGE_BYTES) -> None:
        self._limit = limit
        self._large = large
        self._rest = b""  # the beginning of a frame, or what its reader has not asked for yet
        self._payload: bytearray | None = None  # of the large frame that is under way
        self._kind = FrameKind.MESSAGE
        self._size = 0

    @property
    def missing(self) -> int:
        """How many bytes of a large frame are still to come."""
        return 0 if self._payload is None else self._size - len(self._payload)

    def only(self, data: bytes) -> Frame | None:
        """Return the frame that ``data`` is, if it is exactly one and nothing came before it; else it is to be fed."""
        size = len(data) - _HEADER_BYTES
        if size < 0 or self._rest or self._payload is not None:
            return None
        length, number = _read_header(data)
        if length != size or length > self._limit:
            return None
        kind = _KINDS.get(number)
        return None if kind is None else Frame(kind, data[_HEADER_BYTES:])

    def collect(self, piece: memoryview) -> tuple[Frame, ...]:
        """Add at most :attr:`missing` bytes to the large frame that is under way; return it once it is complete."""
        payload = self._payload
        assert payload is not None
        payload += piece
        if len(payload) < self._size:
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
            start = min(self.missing, len(data))
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
                    raise self.refusal(length, number)
                begin = start + _HEADER_BYTES
                if end - begin < length:
                    if length >= self._large:
                        self._payload, self._kind, self._size = bytearray(data[begin:]), kind, length
                        start = end
                    break
                start = begin + length
                yield Frame(kind, data[begin:start])
        finally:
            self._rest = data[start:]

    def refusal(self, length: int, number: int) -> FrameError:
        """Return why a header is none of ours."""
        if length > self._limit:
            return FrameError(f"a frame announces {length} bytes, the limit is {self._limit}")
        return FrameError(f"a frame has the unknown kind {number}")
