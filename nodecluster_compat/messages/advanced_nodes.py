"""Define the wire format of ``serialization="advanced"``: the nodes of a message.

    message = [root, [node, node, ...]]        MessagePack, every array of a known shape
    node    = [tag, fields ...]                what MessagePack lacks, one class below for each tag
    value   = None | bool | int | float | str | [index of a node]

The shapes are declared, so msgspec's decoder lets nothing else through: no map, whose keys a sender could choose to
collide, no extension type, no nesting beyond these four levels.
"""

from __future__ import annotations

from typing import Final, TypeAlias

import msgspec

__all__ = [
    "BigInt",
    "Buffer",
    "Bytes",
    "Complex",
    "Date",
    "Datetime",
    "DecimalNumber",
    "Dict",
    "Exception_",
    "Frozenset",
    "List",
    "Message",
    "Node",
    "Set",
    "Text",
    "Time",
    "Timedelta",
    "Tuple",
    "Uuid",
    "Value",
    "pack",
    "unpack",
]

Value: TypeAlias = bool | int | float | str | tuple[int] | None


class Node(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """One object; its place in the message is its number."""


class _Items(Node, frozen=True):
    items: list[Value]


class List(_Items, frozen=True, tag=1):
    """A list."""


class Tuple(_Items, frozen=True, tag=2):
    """A tuple."""


class Dict(_Items, frozen=True, tag=3):
    """A dict: keys and values by turns."""


class Set(_Items, frozen=True, tag=4):
    """A set."""


class Frozenset(_Items, frozen=True, tag=5):
    """A frozenset."""


class _Data(Node, frozen=True):
    data: bytes


class Bytes(_Data, frozen=True, tag=6):
    """Bytes."""


class Buffer(_Data, frozen=True, tag=7):
    """A bytearray."""


class BigInt(_Data, frozen=True, tag=8):
    """An integer of more than 64 bits: big endian, signed."""


class Text(_Data, frozen=True, tag=9):
    """Text that UTF-8 cannot carry: it has lone surrogates."""


class Uuid(_Data, frozen=True, tag=10):
    """A UUID."""


class _Words(Node, frozen=True):
    text: str


class Date(_Words, frozen=True, tag=11):
    """A date in ISO format."""


class Time(_Words, frozen=True, tag=12):
    """A time in ISO format."""


class DecimalNumber(_Words, frozen=True, tag=13):
    """A decimal number."""


class Datetime(Node, frozen=True, tag=14):
    """A date and time in ISO format; ``fold`` tells which of two equal times it is."""

    text: str
    fold: int


class Timedelta(Node, frozen=True, tag=15):
    """A duration."""

    days: int
    seconds: int
    microseconds: int


class Complex(Node, frozen=True, tag=16):
    """A complex number."""

    real: float
    imag: float


class Exception_(Node, frozen=True, tag=17):  # noqa: N801 - Exception is taken
    """A built-in exception."""

    name: str
    args: list[Value]
    notes: list[str]


_AnyNode: TypeAlias = (
    List
    | Tuple
    | Dict
    | Set
    | Frozenset
    | Bytes
    | Buffer
    | BigInt
    | Text
    | Uuid
    | Date
    | Time
    | DecimalNumber
    | Datetime
    | Timedelta
    | Complex
    | Exception_
)


class Message(msgspec.Struct, frozen=True, array_like=True, forbid_unknown_fields=True, gc=False):
    """A whole message."""

    root: Value
    nodes: list[_AnyNode]


pack: Final = msgspec.msgpack.Encoder().encode
unpack: Final = msgspec.msgpack.Decoder(Message).decode
