"""Write JSON quickly, for programs that ask a running server again and again."""

from __future__ import annotations

import json
from dataclasses import asdict, is_dataclass
from typing import Any

import msgspec

__all__ = ["encode_json"]

_ENCODER = msgspec.json.Encoder()


def encode_json(data: object) -> bytes:
    """Return ``data`` as JSON; a record is an object, a number that is none is null.

    Text that is no valid Unicode, as the name of a file may be, is escaped, and a number may have any size; msgspec
    refuses both.
    """
    try:
        return _ENCODER.encode(data)
    except (UnicodeEncodeError, OverflowError):
        return json.dumps(data, default=_plain).encode()


def _plain(value: Any) -> object:  # noqa: ANN401 - whatever json does not know
    if is_dataclass(value) and not isinstance(value, type):
        return asdict(value)
    raise TypeError(f"expected what JSON can hold, got {type(value).__name__}")
