"""Encode and decode the long string of a large message apart from the rest of its JSON, where C does that.

Theory of operation
-------------------
A large message is mostly one long string.  JSON's encoder and decoder look at one character after another: 0.8 ms for a
mebibyte there and back, nearly half of what such a message costs.  C checks many characters at once for any that JSON
escapes.  If there is none, a *mark* stands for the string: the encoder encodes the mark, and C inserts the string in
its place.  On the other side C extracts the string and leaves a mark, the decoder decodes the rest, and the string goes
back where the mark is.

The result is the same.  The usual way serves everything else: a string that is no value of the message itself,
characters that are escaped or not ASCII, and whatever the decoder finds to be wrong.  The mark must occur once, in the
place of the string, and nothing in the rest of a message that came may be escaped: otherwise no mark is used.

Rejected: :class:`msgspec.Raw` for the string, which copies it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

__all__ = ["LONG_STRING", "JsonStrings", "decoded", "encoded"]

LONG_STRING: Final = 64 * 1024
"""Characters of a string, or bytes of JSON, from which on this is faster."""

_MARK: Final = "\x7ftext\x7f"
_MOST_KEYS: Final = 16  # of a message whose strings are looked at


class JsonStrings(Protocol):
    """The functions of the C extension for long strings.

    Attributes:
        needs_no_escape: whether JSON has it as it is, and it is ASCII.
        insert_string: puts it into JSON in the place of a mark, if that is there once.
        extract_string: takes it out of JSON, of which it is half at least, and leaves a mark.
    """

    needs_no_escape: Callable[[str], bool]
    insert_string: Callable[[bytes, str, str], bytes | None]
    extract_string: Callable[[bytes | bytearray, str], tuple[bytes, str] | None]


def encoded(message: Any, strings: JsonStrings | None) -> bytes:  # noqa: ANN401 - whatever a message can be
    """Encode a message as JSON.

    Args:
        message: anything.
        strings: inserts a string.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError: JSON cannot carry it.
    """
    key = None if strings is None else _key_of_long_string(message)
    if strings is None or key is None or not strings.needs_no_escape(message[key]):
        return msgspec.json.encode(message)
    json = strings.insert_string(msgspec.json.encode(message | {key: _MARK}), _MARK, message[key])
    return msgspec.json.encode(message) if json is None else json


def _key_of_long_string(message: Any) -> Any:  # noqa: ANN401 - as above
    """Return the name of the first long string of a message; ``None``: it has none."""
    if type(message) is dict and len(message) <= _MOST_KEYS:
        for key, text in message.items():
            if type(text) is str and len(text) >= LONG_STRING:
                return key
    return None


def decoded(payload: bytes | bytearray, strings: JsonStrings | None) -> Any:  # noqa: ANN401 - whatever a message is
    """Decode JSON.

    Args:
        payload: a message, of at least :data:`LONG_STRING` bytes.
        strings: extracts a string.

    Raises:
        ValueError, RecursionError, msgspec.MsgspecError: it is none.
    """
    taken = None if strings is None else strings.extract_string(payload, _MARK)
    if taken is not None:
        rest, text = taken
        with suppress(ValueError, RecursionError, msgspec.MsgspecError):  # it says at which byte: of all of it
            message = msgspec.json.decode(rest)
            if _put_back(message, text):
                return message
    return msgspec.json.decode(payload)


def _put_back(message: Any, text: str) -> bool:  # noqa: ANN401 - as above
    """Put a string where its mark is, if that is a value of the message."""
    for key in message if type(message) is dict else ():
        if message[key] == _MARK:
            message[key] = text
            return True
    return False
