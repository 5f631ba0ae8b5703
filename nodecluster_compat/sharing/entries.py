"""Encode what a shared store keeps: a value, until when, and since when.  No files.

    entry = end (8 bytes, 0 for never) · written (8 bytes) · kind (1 byte) · whole number (8 bytes), or MessagePack

Times are seconds of the machine's monotonic clock, the same in all its processes.  A whole number has a kind of its
own, so that it is counted up without a decoder.
"""

from __future__ import annotations

import struct
from typing import Any, Final
from zlib import crc32

import msgspec

from ..base.arguments import MOST_SECONDS
from ..errors import ArgumentError, ArgumentTypeError, FrameError, KeyTooLong, StoreCorrupt
from .wire import MOST_BYTES, decode, encode

__all__ = [
    "MOST_KEY_BYTES",
    "StoreEntry",
    "checked_ttl",
    "checked_whole",
    "cost_of",
    "decode_entry",
    "decode_value",
    "encode_entry",
    "encode_value",
    "is_data_over",
    "key_of",
    "name_of",
]

MOST_KEY_BYTES: Final = 500
_HEAD: Final = struct.Struct("<ddB")
_WHOLE: Final = struct.Struct("<q")
_PREFIX: Final = struct.Struct(">I")
_IS_WHOLE: Final = 1
_IS_PACKED: Final = 0
_MOST_WHOLE: Final = 2**63
_WHOLE_HEADS: Final = frozenset((*range(0x80), *range(0xCC, 0xD4), *range(0xE0, 0x100)))  # of MessagePack's
_INLINE_BYTES: Final = 2000
_PAGE_BYTES: Final = 4096
_NODE_BYTES: Final = 24


class StoreEntry(msgspec.Struct, gc=False):
    """The entry of a key; ``value`` is still encoded, a whole number is itself."""

    end: float
    written: float
    value: int | bytes

    def is_over(self, now: float) -> bool:
        """Whether its time has come."""
        return 0.0 < self.end <= now


def key_of(key: object) -> bytes:
    """Return the bytes of a key: they begin with a checksum, so that keys that are alike lie far from each other.

    Raises:
        ArgumentTypeError: it is no text.
        KeyTooLong: it has more than 500 bytes as UTF-8.
        ArgumentError: it is empty, or no text that UTF-8 can carry.
    """
    if not isinstance(key, str):
        raise ArgumentTypeError(f"expected text as a key, got {type(key).__name__}")
    try:
        name = key.encode()
    except UnicodeEncodeError as error:
        raise ArgumentError(f"expected text that UTF-8 can carry as a key, got {key!r}") from error
    if len(name) > MOST_KEY_BYTES:
        raise KeyTooLong(f"expected a key of at most {MOST_KEY_BYTES} bytes, got {len(name)}: {key[:40]!r}…")
    if not name:
        raise ArgumentError("expected a key, got an empty text")
    return _PREFIX.pack(crc32(name)) + name


def name_of(key: bytes) -> str:
    """Return the text of a key."""
    return key[_PREFIX.size :].decode("utf-8", "replace")


def checked_ttl(ttl: object) -> float | None:
    """Return how long something is kept, in seconds, some 34 000 years at most; ``None`` for ever.

    Raises:
        ArgumentTypeError: it is no number of seconds above 0.
    """
    if ttl is None:
        return None
    if isinstance(ttl, bool) or not isinstance(ttl, int | float) or not 0 < ttl < float("inf"):
        raise ArgumentTypeError(f"expected a number of seconds above 0 as ttl, or None, got {ttl!r}")
    return float(min(ttl, MOST_SECONDS))


def checked_whole(number: object) -> int:
    """Return a whole number that can be kept.

    Raises:
        ArgumentTypeError: it is none.
        ArgumentError: it needs more than 64 bits.
    """
    if isinstance(number, bool) or not isinstance(number, int):
        raise ArgumentTypeError(f"expected a whole number to add, got {number!r}")
    if not -_MOST_WHOLE <= number < _MOST_WHOLE:
        raise ArgumentError(f"expected a whole number of at most 64 bits to add, got {number.bit_length()} bits")
    return int(number)


def encode_value(value: object) -> int | bytes:
    """Return a value as it is kept.

    Raises:
        MessageNotSerializable, MessageTooLarge: it cannot be kept.
    """
    if type(value) is int:
        return value if -_MOST_WHOLE <= value < _MOST_WHOLE else encode(value, "a value", MOST_BYTES)
    body = encode(value, "a value", MOST_BYTES)
    return body if body[0] not in _WHOLE_HEADS else _whole(body)


def _whole(body: bytes) -> int | bytes:
    """Return the number that MessagePack makes of a member of an enumeration, or of another kind of ``int``."""
    number = decode(body)
    return number if isinstance(number, int) and number < _MOST_WHOLE else body


def decode_value(kept: int | bytes) -> Any:  # noqa: ANN401 - whatever was put there
    """Return a value.

    Raises:
        StoreCorrupt: it is none.
    """
    if isinstance(kept, int):
        return kept
    try:
        return decode(kept)
    except FrameError as error:
        raise StoreCorrupt("expected a value of this package's in the store, found something else") from error


def encode_entry(entry: StoreEntry) -> bytes:
    """Return the bytes of an entry."""
    if isinstance(entry.value, int):
        return _HEAD.pack(entry.end, entry.written, _IS_WHOLE) + _WHOLE.pack(entry.value)
    return _HEAD.pack(entry.end, entry.written, _IS_PACKED) + entry.value


def decode_entry(data: bytes) -> StoreEntry:
    """Return an entry.

    Raises:
        StoreCorrupt: the bytes are none.
    """
    size = len(data)
    if size >= _HEAD.size:
        end, written, kind = _HEAD.unpack_from(data)
        if kind == _IS_PACKED:
            return StoreEntry(end, written, data[_HEAD.size :])
        if kind == _IS_WHOLE and size == _HEAD.size + _WHOLE.size:
            return StoreEntry(end, written, _WHOLE.unpack_from(data, _HEAD.size)[0])
    raise StoreCorrupt("expected an entry of this package's in the store, found something else")


def is_data_over(data: bytes | memoryview, now: float) -> bool:
    """Whether the time of an entry that is not decoded has come."""
    if len(data) < _HEAD.size:
        return False
    end: float = _HEAD.unpack_from(data)[0]
    return 0.0 < end <= now


def cost_of(key: bytes, data: bytes) -> int:
    """Return how many bytes of the file an entry takes, about."""
    size = len(key) + len(data) + _NODE_BYTES
    return size if size <= _INLINE_BYTES else -(-size // _PAGE_BYTES) * _PAGE_BYTES
