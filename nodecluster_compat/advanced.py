"""``serialization="advanced"``: messages that keep Python's types, and cycles (node-cluster-spec §4.4).

What arrives is made of the types of :class:`_Tag` and of nothing else: no code of the sender's choice runs, so a worker
that nobody trusts can be read by its primary.  Rejected: ``pickle``, which runs what the sender says, and a restricted
unpickler, whose BUILD opcode writes into whatever it is pointed at.

    message = msgpack array [root, node, node, ...]
    node    = [tag, data]                          containers and types that msgpack lacks
    value   = None | bool | int | float | str | bytes | [index of a node]

An object of any other class arrives as the ``dict`` of its attributes (Node drops prototypes likewise); an exception
as the nearest built-in class, with its arguments and notes.  Functions, classes and modules cannot be sent.
"""

from __future__ import annotations

import builtins
import dataclasses
import datetime as dt
import io
import re
import types
import uuid
from collections.abc import Callable, Iterable
from decimal import Decimal
from enum import IntEnum
from typing import Any, Final

import msgspec

from .errors import FrameError, MessageNotSerializable

__all__ = ["Advanced"]

_INT64: Final = range(-(2**63), 2**63)
_NOT_DATA: Final = (type, io.IOBase, types.ModuleType, types.FunctionType, types.BuiltinFunctionType, types.MethodType)
_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(list[Any]).decode


class _Tag(IntEnum):
    LIST = 1
    TUPLE = 2
    DICT = 3
    SET = 4
    FROZENSET = 5
    BYTEARRAY = 6
    BIG_INT = 7
    TEXT = 8  # that UTF-8 cannot carry: lone surrogates
    DATETIME = 9
    DATE = 10
    TIME = 11
    TIMEDELTA = 12
    DECIMAL = 13
    COMPLEX = 14
    PATTERN = 15
    UUID = 16
    EXCEPTION = 17


_TAGS: Final = {tag.value: tag for tag in _Tag}


class Advanced:
    """The serializer; see :class:`~nodecluster_compat.serialization.Serializer`."""

    def encode(self, message: Any) -> bytes:
        """Return the message as bytes; see the protocol."""
        try:
            return _Encoder().encode(message)
        except (RecursionError, TypeError, ValueError, OverflowError, msgspec.MsgspecError) as error:
            reason = "it is nested too deeply" if isinstance(error, RecursionError) else error
            raise MessageNotSerializable(
                f"expected a message of data (numbers, text, containers, dates, exceptions, objects with attributes), "
                f"got {type(message).__name__}: {reason}"
            ) from error

    def decode(self, payload: bytes) -> Any:
        """Return the message; see the protocol."""
        try:
            return _Decoder(_decode(payload)).root()
        except Exception as error:  # whatever garbage makes of the constructors below
            raise FrameError(f"a message frame holds no message of serialization 'advanced': {error}") from error


class _Encoder:
    def __init__(self) -> None:
        self._nodes: list[Any] = []
        self._known: dict[int, int] = {}
        self._alive: list[Any] = []  # an id is an object's name only while it lives

    def encode(self, message: Any) -> bytes:
        root = self._value(message)
        return _encode([root, *self._nodes])

    def _value(self, value: Any) -> Any:
        kind = type(value)
        if isinstance(value, (float, bytes)):
            return float(value) if isinstance(value, float) else bytes(value)
        if value is None or kind is bool:
            return value
        if kind is int and value in _INT64:
            return value
        if kind is str and (value.isascii() or _fits_utf8(value)):
            return value
        known = self._known.get(id(value))
        return [self._node(value) if known is None else known]

    def _node(self, value: Any) -> int:
        index = len(self._nodes)
        self._nodes.append(None)
        self._known[id(value)] = index
        self._alive.append(value)
        tag, data = self._described(value)
        self._nodes[index] = [int(tag), data]
        return index

    def _values(self, values: Iterable[Any]) -> list[Any]:
        return [self._value(value) for value in values]

    def _described(self, value: Any) -> tuple[_Tag, Any]:
        for kind, describe in _DESCRIBED:
            if isinstance(value, kind):
                return describe(self, value)
        if isinstance(value, _NOT_DATA) or callable(value):
            raise TypeError(f"{value!r} is no data")
        return _Tag.DICT, self._pairs(_attributes(value))

    def _pairs(self, value: dict[Any, Any]) -> list[Any]:
        return [self._value(item) for pair in value.items() for item in pair]

    def _exception(self, error: BaseException) -> tuple[_Tag, Any]:
        name = next(cls.__name__ for cls in type(error).__mro__ if getattr(builtins, cls.__name__, None) is cls)
        args = error.args if _rebuilds(error, name) else (str(error),)
        return _Tag.EXCEPTION, [name, self._values(args), self._values(getattr(error, "__notes__", ()))]


def _fits_utf8(text: str) -> bool:
    try:
        text.encode()
    except UnicodeEncodeError:
        return False
    return True


def _rebuilds(error: BaseException, name: str) -> bool:
    try:
        getattr(builtins, name)(*error.args)
    except Exception:  # noqa: BLE001 - a class may refuse anything
        return False
    return True


def _attributes(value: Any) -> dict[str, Any]:
    if dataclasses.is_dataclass(value):
        return {field.name: getattr(value, field.name) for field in dataclasses.fields(value)}
    try:
        return dict(vars(value))
    except TypeError:
        raise TypeError(f"a {type(value).__name__} has no attributes to send") from None


def _big_int(value: int) -> bytes:
    return value.to_bytes(value.bit_length() // 8 + 1, "big", signed=True)


_Describe = Callable[[_Encoder, Any], "tuple[_Tag, Any]"]
_DESCRIBED: Final[tuple[tuple[type, _Describe], ...]] = (
    (str, lambda _, v: (_Tag.TEXT, v.encode("utf-8", "surrogatepass"))),
    (bool, lambda _, v: (_Tag.BIG_INT, _big_int(int(v)))),
    (int, lambda _, v: (_Tag.BIG_INT, _big_int(int(v)))),
    (list, lambda e, v: (_Tag.LIST, e._values(v))),
    (tuple, lambda e, v: (_Tag.TUPLE, e._values(v))),
    (dict, lambda e, v: (_Tag.DICT, e._pairs(v))),
    (set, lambda e, v: (_Tag.SET, e._values(v))),
    (frozenset, lambda e, v: (_Tag.FROZENSET, e._values(v))),
    (bytearray, lambda _, v: (_Tag.BYTEARRAY, bytes(v))),
    (memoryview, lambda _, v: (_Tag.BYTEARRAY, bytes(v))),
    (dt.datetime, lambda _, v: (_Tag.DATETIME, [v.isoformat(), v.fold])),
    (dt.date, lambda _, v: (_Tag.DATE, v.isoformat())),
    (dt.time, lambda _, v: (_Tag.TIME, v.isoformat())),
    (dt.timedelta, lambda _, v: (_Tag.TIMEDELTA, [v.days, v.seconds, v.microseconds])),
    (Decimal, lambda _, v: (_Tag.DECIMAL, str(v))),
    (complex, lambda _, v: (_Tag.COMPLEX, [v.real, v.imag])),
    (re.Pattern, lambda e, v: (_Tag.PATTERN, [e._value(v.pattern), v.flags])),
    (uuid.UUID, lambda _, v: (_Tag.UUID, v.bytes)),
    (BaseException, lambda e, v: e._exception(v)),
)


class _Decoder:
    def __init__(self, message: list[Any]) -> None:
        self._root, *self._nodes = message
        self._made: dict[int, Any] = {}

    def root(self) -> Any:
        return self._value(self._root)

    def _value(self, value: Any) -> Any:
        return self._object(value[0]) if type(value) is list else value

    def _object(self, index: int) -> Any:
        if index not in self._made:
            tag, data = self._nodes[index]
            made = _MAKERS[_TAGS[tag]](self, index, data)
            self._made.setdefault(index, made)  # a tuple in a cycle may have been made on the way
        return self._made[index]

    def _values(self, data: list[Any]) -> list[Any]:
        return [self._value(item) for item in data]

    def _list(self, index: int, data: Any) -> list[Any]:
        made: list[Any] = []
        self._made[index] = made
        made.extend(self._values(data))
        return made

    def _dict(self, index: int, data: Any) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        self._made[index] = made
        values = iter(data)
        for key in values:
            made[self._value(key)] = self._value(next(values))
        return made

    def _set(self, index: int, data: Any) -> set[Any]:
        made: set[Any] = set()
        self._made[index] = made
        made.update(self._values(data))
        return made

    def _exception(self, _: int, data: Any) -> BaseException:
        name, args, notes = data
        kind = getattr(builtins, name)
        if not (isinstance(kind, type) and issubclass(kind, BaseException)):
            raise TypeError(f"{name!r} is no exception")
        error: BaseException = kind(*self._values(args))
        if notes:
            error.__notes__ = self._values(notes)
        return error


def _datetime(_: _Decoder, __: int, data: Any) -> dt.datetime:
    return dt.datetime.fromisoformat(data[0]).replace(fold=data[1])


_MAKERS: Final[dict[_Tag, Callable[[_Decoder, int, Any], Any]]] = {
    _Tag.LIST: _Decoder._list,
    _Tag.TUPLE: lambda d, _, data: tuple(d._values(data)),
    _Tag.DICT: _Decoder._dict,
    _Tag.SET: _Decoder._set,
    _Tag.FROZENSET: lambda d, _, data: frozenset(d._values(data)),
    _Tag.BYTEARRAY: lambda _, __, data: bytearray(memoryview(data)),
    _Tag.BIG_INT: lambda _, __, data: int.from_bytes(memoryview(data), "big", signed=True),
    _Tag.TEXT: lambda _, __, data: data.decode("utf-8", "surrogatepass"),
    _Tag.DATETIME: _datetime,
    _Tag.DATE: lambda _, __, data: dt.date.fromisoformat(data),
    _Tag.TIME: lambda _, __, data: dt.time.fromisoformat(data),
    _Tag.TIMEDELTA: lambda _, __, data: dt.timedelta(*data),
    _Tag.DECIMAL: lambda _, __, data: Decimal(data),
    _Tag.COMPLEX: lambda _, __, data: complex(*data),
    _Tag.PATTERN: lambda d, _, data: re.compile(d._value(data[0]), data[1]),
    _Tag.UUID: lambda _, __, data: uuid.UUID(bytes=data),
    _Tag.EXCEPTION: _Decoder._exception,
}
