"""Decode an ``advanced`` message into Python's objects, for a reader that trusts nobody.

Theory of operation
-------------------
Each node becomes one object, once, and every reference to it that object; a list, dict or set is known before its
members, so cycles close.  Decoding costs time and memory in proportion to the bytes that came, whatever they are:

* Hashing a tuple hashes its members, every time and however deep: nested ``(t, t)`` cost 2ⁿ, and a hundred thousand
  nested ``(t,)`` overflow the C stack.  So the depth of a tuple is bounded, and its *weight*, the visits that one hash
  takes, is known and paid from a budget whenever it is a key.
* Numbers, and what is made of them, hash the same in every process, so a sender can choose keys that collide, and n
  of them cost n² steps inside the interpreter.  Nothing there can be counted, so it is timed: once this thread has
  computed ten times longer than an honest message of that size takes, the message is refused.  Rejected: a limit on the
  number of such keys (honest messages have many); a search for equal hashes (probe sequences can meet without).
* A ``Decimal`` that is compared with an integer converts it, in quadratic time: integers that are keys are bounded.
* A ``UnicodeError`` trusts the positions that it was given and reads there when it is printed: they are checked here.

Rejected: compiled patterns.  One is a program for the regular expression engine, and compiling it can take hours.
"""

from __future__ import annotations

import builtins
import datetime as dt
import time
import uuid
from collections.abc import Callable, Iterable, Sequence
from decimal import Decimal
from typing import Any, Final, NamedTuple

from ..base.records import Message
from . import advanced_nodes as nodes

__all__ = ["EXCEPTIONS", "Decoder", "made_exception"]

EXCEPTIONS: Final[dict[str, type[BaseException]]] = {
    name: kind
    for name, kind in vars(builtins).items()
    if isinstance(kind, type) and issubclass(kind, BaseException) and kind.__name__ == name
}
"""The exceptions that can arrive, by name."""

_DEEPEST: Final = 1000  # no sender of ours can nest deeper
_FREE_VISITS, _VISITS_PER_BYTE = 1_000_000, 16
_FREE_SECONDS, _SECONDS_PER_BYTE = 0.5, 3e-6
_LARGEST_KEY: Final = 2**4096
_TIMED_EVERY: Final = 64  # visits


def made_exception(name: str, args: Sequence[Any]) -> BaseException:
    """Return the built-in exception of that name.

    Raises:
        Exception: of any class; there is none, or not with these arguments.
    """
    error = EXCEPTIONS[name](*args)
    if isinstance(error, (UnicodeDecodeError, UnicodeEncodeError, UnicodeTranslateError)) and not (
        0 <= error.start <= error.end <= len(error.object)
    ):
        raise ValueError("the positions of a UnicodeError are outside of its text")
    return error


class _Shape(NamedTuple):
    """What hashing one tuple means."""

    depth: int
    weight: int
    of: object  # an id is an object's name only while it lives


class _Limits:
    """What decoding one message may cost."""

    def __init__(self, size: int, clock: Callable[[], float]) -> None:
        self._visits = _FREE_VISITS + _VISITS_PER_BYTE * size
        self._clock = clock
        self._deadline = clock() + _FREE_SECONDS + _SECONDS_PER_BYTE * size
        self._untimed = 0

    def pay(self, visits: int) -> None:
        """A key is to be hashed, and compared with those that have the same hash."""
        self._visits -= visits
        if self._visits < 0:
            raise ValueError("the tuples among its keys cost too much to hash")
        self._untimed += visits
        if self._untimed >= _TIMED_EVERY:
            self._untimed = 0
            if self._clock() > self._deadline:
                raise ValueError("the keys of a set or dict collide")


class Decoder:
    """Decodes one message.

    Args:
        message: what arrived.
        size: how many bytes that were.
        clock: seconds that this thread has computed.
    """

    def __init__(self, message: nodes.Message, size: int, clock: Callable[[], float] = time.thread_time) -> None:
        self._message = message
        self._made: dict[int, Any] = {}
        self._shapes: dict[int, _Shape] = {}  # of tuples and frozensets, by id
        self._limits = _Limits(size, clock)

    def root(self) -> Message:
        """Return the message.

        Raises:
            Exception: of any class; it is none.
        """
        return self._value(self._message.root)

    def _value(self, value: Message) -> Message:
        return self._object(value[0]) if type(value) is tuple else value

    def _object(self, index: int) -> Message:
        if index not in self._made:
            if index < 0:
                raise IndexError("a reference to no node")
            node: Any = self._message.nodes[index]
            made = _MAKERS[type(node)](self, index, node)
            self._made.setdefault(index, made)  # a tuple in a cycle may have been made on the way
        return self._made[index]

    def _values(self, items: Iterable[Any]) -> list[Any]:
        return [self._value(item) for item in items]

    # --- containers ----------------------------------------------------------------------------

    def _list(self, index: int, node: nodes.List) -> list[Any]:
        made: list[Any] = []
        self._made[index] = made
        made.extend(self._values(node.items))
        return made

    def _dict(self, index: int, node: nodes.Dict) -> dict[Any, Any]:
        made: dict[Any, Any] = {}
        self._made[index] = made
        items = iter(node.items)
        for item in items:
            key = self._value(item)
            value = self._value(next(items))
            self._pay_for(key)
            made[key] = value
        return made

    def _set(self, index: int, node: nodes.Set) -> set[Any]:
        made: set[Any] = set()
        self._made[index] = made
        self._fill(made, node.items)
        return made

    def _frozenset(self, _: int, node: nodes.Frozenset) -> frozenset[Any]:
        members: set[Any] = set()
        self._fill(members, node.items)
        made = frozenset(members)
        self._shape(made)
        return made

    def _tuple(self, _: int, node: nodes.Tuple) -> tuple[Any, ...]:
        made = tuple(self._values(node.items))
        self._shape(made)
        return made

    def _fill(self, members: set[Any], items: Iterable[Any]) -> None:
        for item in items:
            member = self._value(item)
            self._pay_for(member)
            members.add(member)

    def _shape(self, made: tuple[Any, ...] | frozenset[Any]) -> None:
        """Note what hashing it means; a frozenset knows the hashes of its members, and its own once it is made."""
        depth, weight = 1, 1 + len(made)
        for member in made:
            if type(member) is tuple or type(member) is frozenset:
                inner = self._shapes[id(member)]
                depth = max(depth, 1 + inner.depth)
                weight += inner.weight
        if depth > _DEEPEST:
            raise ValueError("it is nested too deeply")
        self._shapes[id(made)] = _Shape(depth, weight if type(made) is tuple else 1 + len(made), made)

    def _pay_for(self, key: Message) -> None:
        """A key is to be hashed and compared."""
        kind = type(key)
        if kind is str or kind is bytes:
            return  # salted in every process, and the hash is kept
        if kind is int and not -_LARGEST_KEY < key < _LARGEST_KEY:
            raise ValueError("an integer among its keys is too large")
        self._limits.pay(self._shapes[id(key)].weight if kind is tuple or kind is frozenset else 1)

    # --- the rest ------------------------------------------------------------------------------

    def _exception(self, _: int, node: nodes.Exception_) -> BaseException:
        error = made_exception(node.name, self._values(node.args))
        if node.notes:
            error.__notes__ = node.notes
        return error


_MAKERS: Final[dict[type[nodes.Node], Callable[[Decoder, int, Any], Any]]] = {
    nodes.List: Decoder._list,
    nodes.Tuple: Decoder._tuple,
    nodes.Dict: Decoder._dict,
    nodes.Set: Decoder._set,
    nodes.Frozenset: Decoder._frozenset,
    nodes.Bytes: lambda _, __, node: node.data,
    nodes.Buffer: lambda _, __, node: bytearray(node.data),
    nodes.BigInt: lambda _, __, node: int.from_bytes(node.data, "big", signed=True),
    nodes.Text: lambda _, __, node: node.data.decode("utf-8", "surrogatepass"),
    nodes.Uuid: lambda _, __, node: uuid.UUID(bytes=node.data),
    nodes.Date: lambda _, __, node: dt.date.fromisoformat(node.text),
    nodes.Time: lambda _, __, node: dt.time.fromisoformat(node.text),
    nodes.DecimalNumber: lambda _, __, node: Decimal(node.text),
    nodes.Datetime: lambda _, __, node: dt.datetime.fromisoformat(node.text).replace(fold=node.fold),
    nodes.Timedelta: lambda _, __, node: dt.timedelta(node.days, node.seconds, node.microseconds),
    nodes.Complex: lambda _, __, node: complex(node.real, node.imag),
    nodes.Exception_: Decoder._exception,
}
