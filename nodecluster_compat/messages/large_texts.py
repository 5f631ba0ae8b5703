"""Encode and decode the long text that a large message mostly is apart from the rest of it, where C does that.

Theory of operation
-------------------
JSON's encoder and decoder look at one character after another: 0.8 ms for a mebibyte there and back, nearly half of
what such a message costs.  C sees for many characters at once that none of them is escaped.  Then a *mark* stands for
the text: the encoder encodes it, and C puts the text into its place; on the other side C takes the text out and leaves
a mark, the decoder decodes what is left, and the text is put where the mark is.

Nobody can tell the difference.  What is not ordinary goes its usual way: a text that is no value of the message itself,
characters that are escaped or not ASCII, and whatever the decoder finds to be wrong.  The text's own place alone has
its mark: one that is elsewhere, too, is not used, and in what is left of a message that came nothing is escaped.

Rejected: :class:`msgspec.Raw` for the text, which copies it twice.
"""

from __future__ import annotations

from collections.abc import Callable
from contextlib import suppress
from typing import Any, Final, Protocol

import msgspec

__all__ = ["LARGE_TEXT", "Texts", "decoded", "encoded"]

LARGE_TEXT: Final = 64 * 1024
"""From here on a text, or what is encoded, is worth it."""

_MARK: Final = "\x7ftext\x7f"
_MOST_KEYS: Final = 16  # of a message whose texts are looked at


class Texts(Protocol):
    """What C does with a text.

    Attributes:
        is_plain: whether JSON has it as it is.
        put_text: puts it into JSON in the place of a mark, if that is there once.
        take_text: takes it out of JSON, of which it is half at least, and leaves a mark.
    """

    is_plain: Callable[[str], bool]
    put_text: Callable[[bytes, str, str], bytes | None]
    take_text: Callable[[bytes | bytearray, str], tuple[bytes, str] | None]


def encoded(message: Any, texts: Texts | None) -> bytes:  # noqa: ANN401 - whatever a message can be
    """Encode a message as JSON.

    Args:
        message: anything.
        texts: what puts a text in.

    Raises:
        TypeError, ValueError, OverflowError, RecursionError, msgspec.MsgspecError: JSON cannot carry it.
    """
    key = None if texts is None else _key_of_text(message)
    if texts is None or key is None or not texts.is_plain(message[key]):
        return msgspec.json.encode(message)
    json = texts.put_text(msgspec.json.encode(message | {key: _MARK}), _MARK, message[key])
    return msgspec.json.encode(message) if json is None else json


def _key_of_text(message: Any) -> Any:  # noqa: ANN401 - as above
    """Return the name of the first long text of a message; ``None``: it has none."""
    if type(message) is dict and len(message) <= _MOST_KEYS:
        for key, text in message.items():
            if type(text) is str and len(text) >= LARGE_TEXT:
                return key
    return None


def decoded(payload: bytes | bytearray, texts: Texts | None) -> Any:  # noqa: ANN401 - whatever a message is
    """Decode JSON.

    Args:
        payload: a message, of at least :data:`LARGE_TEXT` bytes.
        texts: what takes a text out.

    Raises:
        ValueError, RecursionError, msgspec.MsgspecError: it is none.
    """
    taken = None if texts is None else texts.take_text(payload, _MARK)
    if taken is not None:
        rest, text = taken
        with suppress(ValueError, RecursionError, msgspec.MsgspecError):  # it says at which byte: of all of it
            message = msgspec.json.decode(rest)
            if _put_back(message, text):
                return message
    return msgspec.json.decode(payload)


def _put_back(message: Any, text: str) -> bool:  # noqa: ANN401 - as above
    """Put a text where its mark is, if that is a value of the message."""
    for key in message if type(message) is dict else ():
        if message[key] == _MARK:
            message[key] = text
            return True
    return False
