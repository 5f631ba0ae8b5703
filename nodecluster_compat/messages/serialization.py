"""Serialize messages: the ``serialization`` setting, and JSON.

Chosen for each worker when it is forked; both ends of its channel use the same.  ``json`` is the default, as in
Node; ``spawn_settings`` has them by name.
"""

from __future__ import annotations

import gc
from collections.abc import Callable
from typing import Any, Final, Protocol

import msgspec

from ..base.records import Message
from ..errors import FrameError, MessageNotSerializable
from .json_strings import LONG_STRING, JsonStrings, decoded, encoded

__all__ = ["JSON", "PACKED", "Serializer", "quick"]


class Serializer(Protocol):
    """Encodes and decodes messages."""

    def encode(self, message: Message) -> bytes:
        """Return the message as bytes.

        Raises:
            MessageNotSerializable: it holds what this serialization cannot carry.
        """

    def decode(self, payload: bytes | bytearray) -> Message:
        """Return the message.

        Raises:
            FrameError: the bytes are no message.
        """


class _Json:
    """JSON by msgspec.  Datetimes, bytes, sets and dataclasses arrive as their JSON form.

    Attributes:
        strings: inserts and extracts a long string, in this process; ``None``: there is no C.
    """

    strings: JsonStrings | None = None

    def encode(self, message: Message) -> bytes:
        try:
            return encoded(message, self.strings)
        except (TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError) as error:
            reason = "it refers to itself or is nested too deeply" if isinstance(error, RecursionError) else error
            raise MessageNotSerializable(
                "expected a message that JSON can carry (None, bool, number, str, list, dict), "
                f"got {type(message).__name__}: {reason}"
            ) from error

    def decode(self, payload: bytes | bytearray) -> Message:
        try:
            return (
                msgspec.json.decode(payload) if len(payload) < LONG_STRING else _decoded_at_once(payload, self.strings)
            )
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise FrameError(f"a message frame does not hold JSON: {error}") from error


def _decoded_at_once(payload: bytes | bytearray, strings: JsonStrings | None) -> Message:
    """Decode without a search for garbage cycles: what is decoded has none, and is looked through again and again.

    Of a hundred mebibytes of small objects the searches are three quarters of the time, in which nobody else has the
    interpreter's lock.
    """
    if not gc.isenabled():
        return decoded(payload, strings)
    try:
        gc.disable()
        return decoded(payload, strings)
    finally:
        gc.enable()


class _Packed:
    """MessagePack by msgspec, for what capabilities send whatever the setting is."""

    def encode(self, message: Message) -> bytes:
        return msgspec.msgpack.encode(message)

    def decode(self, payload: bytes | bytearray) -> Message:
        try:
            return msgspec.msgpack.decode(payload)
        except (msgspec.MsgspecError, ValueError, RecursionError) as error:
            raise FrameError(f"a frame does not hold MessagePack: {error}") from error


JSON: Final = _Json()

PACKED: Final = _Packed()
"""MessagePack."""


def quick(serializer: Serializer) -> tuple[Callable[[Message], bytes], Callable[[Any], Message]]:
    """Return what encodes and decodes for C: what it raises is found out again, and said, by the serializer."""
    if serializer is JSON:
        return msgspec.json.encode, msgspec.json.decode
    return serializer.encode, serializer.decode
