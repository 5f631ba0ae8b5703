"""Encode messages that keep Python's types and cycles: ``serialization="advanced"``.

A message arrives as objects of the types in ``advanced_nodes`` and of no others.  No code of the sender's choice runs,
so the primary can read a worker that it does not trust; ``advanced_decoder`` bounds what that may cost.

Rejected: ``pickle``, which runs what the sender says, and a restricted unpickler, whose BUILD opcode writes into
whatever it is pointed at.

An object of any other class arrives as the ``dict`` of its attributes (Node drops prototypes likewise); an exception
as the nearest built-in class, with its arguments and notes.  Functions, classes, modules and compiled patterns cannot
be sent.
"""

from __future__ import annotations

import dataclasses
import datetime as dt
import io
import re
import types
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from typing import Any, Final

import msgspec

from ..base.records import Message
from ..errors import FrameError, MessageNotSerializable
from . import advanced_nodes as nodes
from .advanced_decoder import EXCEPTIONS, Decoder, made_exception
from .serialization import Serializer

__all__ = ["ADVANCED", "Advanced"]

_INT64: Final = range(-(2**63), 2**63)
_NOT_DATA: Final = (
    type,
    io.IOBase,
    re.Pattern,
    types.ModuleType,
    types.FunctionType,
    types.BuiltinFunctionType,
    types.MethodType,
)
_MOST_REASON: Final = 200  # characters; what a constructor says of garbage may quote all of it


class Advanced:
    """The serializer; see :class:`~nodecluster_compat.messages.serialization.Serializer`."""

    def encode(self, message: Message) -> bytes:
        """Return the message as bytes; see the protocol."""
        try:
            return _Encoder().encode(message)
        except (RecursionError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise MessageNotSerializable(
                f"expected a message of data (numbers, text, containers, dates, exceptions, objects with attributes), "
                f"got {type(message).__name__}: {reason}"
            ) from error

    def decode(self, payload: bytes | bytearray) -> Message:
        """Return the message; see the protocol."""
        try:
            return Decoder(nodes.unpack(payload), len(payload)).root()
        except Exception as error:  # whatever garbage makes of the constructors that it reaches
            reason = str(error)[:_MOST_REASON]
            raise FrameError(f"a message frame holds no message of serialization 'advanced': {reason}") from error


ADVANCED: Final[Serializer] = Advanced()


class _Encoder:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._known: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is an object's name only while it lives

    def encode(self, message: Message) -> bytes:
        root = self._value(message)
        return nodes.pack(nodes.Message(root, self._nodes))

    def _value(self, value: Message) -> Message:
        kind = type(value)
        if isinstance(value, float):
            return float(value)
        if value is None or kind is bool:
            return value
        if kind is int and value in _INT64:
            return value
        if kind is str and (value.isascii() or _fits_utf8(value)):
            return value
        known = self._known.get(id(value))
        return (self._node(value) if known is None else known,)

    def _node(self, value: Message) -> int:
        index = len(self._nodes)
        self._nodes.append(None)
        self._known[id(value)] = index
        self._alive.append(value)
        self._nodes[index] = self._described(value)
        return index

    def _values(self, values: Iterable[Any]) -> list[Any]:
        return [self._value(value) for value in values]

    def _described(self, value: Message) -> nodes.Node:
        for kind, describe in _DESCRIBED:
            if isinstance(value, kind):
                return describe(self, value)
        if isinstance(value, _NOT_DATA) or callable(value):
            raise TypeError(f"{value!r} is no data")
        return nodes.Dict(self._pairs(_attributes(value)))

    def _pairs(self, value: dict[Any, Any]) -> list[Any]:
        return [self._value(item) for pair in value.items() for item in pair]

    def _exception(self, error: BaseException) -> nodes.Exception_:
        notes = [str(note) for note in getattr(error, "__notes__", ())]
        for kind in type(error).__mro__:
            for args in (error.args, (str(error),)):
                if EXCEPTIONS.get(kind.__name__) is kind and _rebuilds(kind.__name__, args):
                    return nodes.Exception_(kind.__name__, self._values(args), notes)
        raise TypeError(f"{error!r} cannot be made again from its arguments")


def _fits_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rebuilds(name: str, args: tuple[Any, ...]) -> bool:
    try:
        made_exception(name, args)
    except Exception:  # noqa: BLE001 - a class may refuse anything
        return False
    return True


def _attributes(value: Message) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    try:
        return dict(vars(value))
    except TypeError:
        raise TypeError(f"a {type(value).__name__} has no attributes to send") from None


def _big_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


_Describe = Callable[[_Encoder, Any], nodes.Node]
_DESCRIBED: Final[tuple[tuple[type, _Describe], ...]] = (
    (str, lambda _, v: nodes.Text(v.encode("utf-8", "surrogatepass"))),
    (bytes, lambda _, v: nodes.Bytes(bytes(v))),
    (int, lambda _, v: nodes.BigInt(_big_int(int(v)))),
    (list, lambda e, v: nodes.List(e._values(v))),
    (tuple, lambda e, v: nodes.Tuple(e._values(v))),
    (dict, lambda e, v: nodes.Dict(e._pairs(v))),
    (set, lambda e, v: nodes.Set(e._values(v))),
    (frozenset, lambda e, v: nodes.Frozenset(e._values(v))),
    (bytearray, lambda _, v: nodes.Buffer(bytes(v))),
    (memoryview, lambda _, v: nodes.Buffer(bytes(v))),
    (dt.datetime, lambda _, v: nodes.Datetime(v.isoformat(), v.fold)),
    (dt.date, lambda _, v: nodes.Date(v.isoformat())),
    (dt.time, lambda _, v: nodes.Time(v.isoformat())),
    (dt.timedelta, lambda _, v: nodes.Timedelta(v.days, v.seconds, v.microseconds)),
    (Decimal, lambda _, v: nodes.DecimalNumber(str(v))),
    (complex, lambda _, v: nodes.Complex(v.real, v.imag)),
    (uuid.UUID, lambda _, v: nodes.Uuid(v.bytes)),
    (BaseException, lambda e, v: e._exception(v)),
)
